# "./vmi package": Debian packages from debian/, their source package, and a repository of them for apt
#
# Part of ../vmi, which sources it.
#
# shellcheck shell=sh disable=SC2154 # ../vmi, debian.sh and develop.sh have the variables
#
# SPDX-License-Identifier: GPL-2.0-or-later

show_package_help() {
    cat <<'EOF'
usage: ./vmi package [OPTIONS]

Build, then make Debian packages of it, for the release of Debian that this is: qemu-system-vmi, vmi-tools and
qemu-vmi-doc, in build/package.

  --source              make their source package instead, which dpkg-buildpackage builds without a network
  --repo DIR            also put what was made into a signed repository for apt, beside what is there
  --key ID              sign it with this key of yours (default: a key made for it, in build/repository-key)

docs/howto/package.rst says how to install them.
EOF
}

# Whether this is a clone. Other sources, such as a source package's, are those of the last entry in debian/changelog.
has_history() {
    [ -e "$top/.git" ] && git -C "$top" rev-parse --quiet --verify HEAD >/dev/null 2>&1
}

# The version of the packages: QEMU's, the number of our commits, and the release of Debian that they are for
package_version() {
    if has_history; then
        release=$(sed -n 's/^VERSION_ID="\(.*\)"/\1/p' /etc/os-release)
        echo "$(cat "$source/VERSION")+vmi$(git -C "$top" rev-list --count HEAD)-1~deb${release:-$codename}"
    else
        dpkg-parsechangelog --file "$top/debian/changelog" --show-field Version
    fi
}

# The committed entries are about the packaging. One more says what this version is made of.
write_changelog() {
    if has_history; then
        cat <<EOF
qemu-vmi ($1) $codename; urgency=medium

  * QEMU $(cat "$source/VERSION") with qemu-vmi as of $(git -C "$top" rev-parse --short=12 HEAD).

 -- $(dpkg-parsechangelog --file "$top/debian/changelog" --show-field Maintainer)  $(git -C "$top" log -1 --format=%cD)

EOF
    fi
    cat "$top/debian/changelog"
}

# Names of our files, each ended by a NUL: what git knows, or all of a tree that is no clone
own_files() {
    if has_history; then
        git -C "$top" ls-files -z
    else
        find "$top" '(' -path "$top/build" -o -path "$top/qemu" -o -path "$top/.pc" ')' -prune -o \
            '(' -type f -o -type l ')' -printf '%P\0'
    fi
}

# pack_own VERSION FILE: the first part of the upstream source, without debian/. The same sources give the same bytes.
pack_own() {
    own_files | grep -zv '^debian/' | LC_ALL=C sort -z |
        tar --create --xz --file "$2" --directory "$top" --null --files-from - --transform "s,^,qemu-vmi-$1/,S" \
            --owner 0 --group 0 --numeric-owner --mode u=rwX,go=rX --mtime "@$SOURCE_DATE_EPOCH"
}

# pack_qemu FILE: the second part, QEMU: Debian's own file, which apt has verified, or of another tree what was
# there before the series
pack_qemu() {
    if [ "$(cat "$source/.git/vmi-origin")" != Debian ]; then
        git -C "$source" archive --prefix=qemu/ pristine | xz >"$1"
        return
    fi
    original=$build/apt/source/qemu_$(cat "$source/VERSION")+ds.orig.tar.xz
    [ -e "$original" ] || download_qemu
    [ -e "$original" ] || die "Debian no longer has ${original##*/}; remove build/qemu-src to take what it has"
    cp "$original" "$1"
}

# make_tree VERSION DIRECTORY: our sources and debian/, as a source package is unpacked
make_tree() {
    # Who unpacks it may be somebody else
    umask 022
    if has_history; then
        SOURCE_DATE_EPOCH=$(git -C "$top" log -1 --format=%ct)
    else
        SOURCE_DATE_EPOCH=$(dpkg-parsechangelog --file "$top/debian/changelog" --show-field Timestamp)
    fi
    export SOURCE_DATE_EPOCH
    upstream=${1%-*}
    original=$2/qemu-vmi_$upstream.orig.tar.xz
    tree=$2/qemu-vmi-$upstream
    pack_own "$upstream" "$original" && tar --extract --file "$original" --directory "$2" &&
        cp -R "$top/debian" "$tree" && write_changelog "$1" >"$tree/debian/changelog"
}

# make_source_package VERSION DIRECTORY
make_source_package() {
    make_tree "$1" "$2" || return 1
    qemu=$2/qemu-vmi_${1%-*}.orig-qemu.tar.xz
    pack_qemu "$qemu" && mkdir "$tree/qemu" &&
        tar --extract --file "$qemu" --directory "$tree/qemu" --strip-components 1 &&
        env -C "$2" dpkg-source --build "${tree##*/}" && rm -rf "$tree"
}

# make_packages VERSION DIRECTORY: the binaries that are here already are not compiled again, because debian/rules takes
# them from this build directory
make_packages() {
    make_tree "$1" "$2" || return 1
    env -C "$tree" DEB_BUILD_OPTIONS="${DEB_BUILD_OPTIONS:-} prebuilt=$build nocheck" \
        dpkg-buildpackage --build=binary --no-sign && rm -rf "$tree" "$original"
}

command_package() {
    kind=binary repository='' key=''
    while [ $# -gt 0 ]; do
        case $1 in
        -h|--help) show_help package ;;
        --source) kind=source; shift; continue ;;
        --repo|--key) [ $# -gt 1 ] || usage_error "$1 needs a value" ;;
        --*=*)
            option=${1%%=*} value=${1#*=}
            shift
            set -- "$option" "$value" "$@"
            continue
            ;;
        *) usage_error "unknown option $1" ;;
        esac
        case $1 in
        --repo) repository=$2 ;;
        --key) key=$2 ;;
        esac
        shift 2
    done
    [ -z "$key" ] || [ -n "$repository" ] || usage_error '--key needs --repo'
    # A source package has nothing compiled. package_packages is a list of words.
    # shellcheck disable=SC2086
    case $kind in
    source) prepare $package_packages ;;
    binary) build_all $package_packages ;;
    esac
    version=$(package_version)
    rm -rf "$build/package"
    mkdir "$build/package"
    case $kind in
    source)
        stage 'Making a source package'
        logged package-source make_source_package "$version" "$build/package"
        stage "Ready: $build/package/qemu-vmi_$version.dsc"
        ;;
    binary)
        stage 'Making packages'
        logged package make_packages "$version" "$build/package"
        stage "Ready: $(echo "$build"/package/*.deb)"
        ;;
    esac
    [ -n "$repository" ] || return 0
    stage 'Making a repository'
    logged repository "$top/scripts/make-repository" --suite "$codename" --key-directory "$build/repository-key" \
        ${key:+--key "$key"} "$repository" "$build/package"
    stage "Ready: $repository/qemu-vmi.sources, which apt takes in /etc/apt/sources.list.d"
}

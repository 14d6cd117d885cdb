# Packages and sources of Debian's: what is missing is installed, downloaded and unpacked in build/
#
# Part of ../vmi, which sources it.
#
# shellcheck shell=sh disable=SC2154 # ../vmi has the variables
#
# SPDX-License-Identifier: GPL-2.0-or-later

build_packages='debian-archive-keyring>=2023.3+deb12u2 dpkg-dev gcc git ipxe-qemu libc6-dev libcapstone-dev
    libfdt-dev libglib2.0-dev libpixman-1-dev libsdl2-dev libslirp-dev make ninja-build patch pkgconf python3
    python3-setuptools python3-venv qemu-system-data xz-utils zlib1g-dev'
# Debian 12 has these in bookworm-backports. An older SeaBIOS waits 32 seconds for an empty drive of a q35.
new_packages='meson>=1.5 python3-pycotap seabios>=1.16.3'
bench_packages=gnuplot-nox
libvirt_packages='libvirt-clients libvirt-daemon libvirt-daemon-driver-qemu'
package_packages='apt-utils build-essential debhelper dh-python gpg gpg-agent python3-sphinx'
# shellcheck disable=SC2034 # develop.sh uses them
test_packages="$package_packages lintian $bench_packages $libvirt_packages qemu-utils syslinux syslinux-common
    isolinux mtools xorriso xvfb faketime libc6-dev-i386 libxml2-utils sparse clang clang-tidy cppcheck python3-pexpect
    python3-pil python3-pyte"
# shellcheck disable=SC2034
full_packages='device-tree-compiler llvm python3-sphinx-rtd-theme'
# These are unpacked in build/nested, not installed: a kernel with KVM, and programs to start it with
nested_packages='busybox-static linux-image-amd64'

apt_conf=$build/apt/apt.conf
apt_install='env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600
    install -y --no-install-recommends'
codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
sudo=

# missing PACKAGE...: prints those that are not installed, or older than a PACKAGE>=VERSION asks for
missing() {
    for package in "$@"; do
        name=${package%%>=*}
        minimum=${package#"$name"}
        state=$(dpkg-query -W -f '${db:Status-Status} ${Version}' "$name" 2>/dev/null) || state=
        if [ "${state%% *}" != installed ] ||
           ! dpkg --compare-versions "${state#* }" ge "${minimum#>=}"; then
            printf '%s ' "$name"
        fi
    done
}

# As root, with the user's proxies, and with files that others may read
as_root() {
    # shellcheck disable=SC2016,SC2086 # sh -c expands its arguments; sudo may be nothing
    $sudo env ${http_proxy:+"http_proxy=$http_proxy"} ${https_proxy:+"https_proxy=$https_proxy"} \
        ${no_proxy:+"no_proxy=$no_proxy"} sh -c 'umask 022; exec "$@"' sh "$@"
}

# as_root needs this once, with the user's terminal for a password
become_root() {
    [ "$(id -u)" != 0 ] && [ -z "$sudo" ] || return 0
    command -v sudo >/dev/null || die "no sudo here: as root, run apt-get install $*"
    sudo -n true 2>/dev/null || sudo -v || die "sudo does not let you: as root, run apt-get install $*"
    sudo=sudo
}

# A mirror of Debian's own archive that this system installs from, by what its lists say: others may end alike
listed_mirror() {
    # shellcheck disable=SC2016 # apt's own variables
    apt-get indextargets --format '$(REPO_URI) $(COMPONENT)' 'Origin: Debian' 'Label: Debian' 2>/dev/null |
        sed -n 's#^\(.*[^/]\)/* main$#\1#p' | grep -v '^cdrom:' | head -n 1
}

# A new system, or a container's image, has no lists yet
mirror() {
    uri=$(listed_mirror)
    if [ -z "$uri" ]; then
        become_root debian-archive-keyring
        as_root apt-get update >"$build/log/apt-lists.log" 2>&1 || :
        uri=$(listed_mirror)
    fi
    echo "$uri"
}

own_source() {
    cat <<EOF
Types: $1
URIs: $2
Suites: $3
Components: main
Architectures: amd64
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

EOF
}

# Debian 13's source package and what Debian 12 has in backports come from source entries of our own, with lists
# of their own, so that the system's stay as they are. Root must not drop its rights for a download, because
# apt's own user may not be able to reach this directory.
# update_own_sources [SUITE]: source packages are those of this one
update_own_sources() {
    mkdir -p "$build/apt/lists/partial" "$build/apt/source"
    cat >"$apt_conf" <<EOF
Dir::Etc::sourcelist "$build/apt/debian.sources";
Dir::Etc::sourceparts "-";
Dir::State::lists "$build/apt/lists";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
APT::Sandbox::User "root";
EOF
    uri=$(mirror)
    [ -n "$uri" ] || die "no Debian mirror among the sources of this system's apt, or it cannot be reached"
    own_source deb-src "$uri" "${1:-trixie}" >"$build/apt/debian.sources"
    [ "$codename" != bookworm ] || own_source deb "$uri" bookworm-backports >>"$build/apt/debian.sources"
    logged apt-update env APT_CONFIG="$apt_conf" apt-get update
}

# A list that cannot be updated may not be one that is needed. dpkg may have been interrupted before.
# shellcheck disable=SC2086 # apt_install is a list of words
update_and_install() {
    as_root dpkg --configure -a
    as_root apt-get update || echo 'apt-get update failed; going on with the lists that are there'
    as_root $apt_install "$@"
}

# shellcheck disable=SC2086 # these are lists of words
install_packages() {
    [ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] || die 'this needs Debian 12 or later, on amd64'
    packages=$(missing $build_packages "$@")
    newer=$(missing $new_packages)
    [ -n "$packages$newer" ] || return 0
    stage "Installing Debian packages: $packages$newer"
    become_root $packages $newer
    if [ "$codename" != bookworm ]; then
        packages=$packages$newer newer=
    fi
    [ -z "$packages" ] || logged apt-install update_and_install $packages
    if [ -n "$newer" ]; then
        update_own_sources
        logged apt-install-newer as_root env APT_CONFIG="$apt_conf" $apt_install $newer
    fi
}

# make_repository DIRECTORY MESSAGE: all that is in it, under the tag "pristine"
make_repository() {
    logged git-init git -C "$1" -c init.defaultBranch=main init
    git -C "$1" config gc.auto 0
    logged git-add git -C "$1" add --all --force .
    logged git-commit git -C "$1" commit -q -m "$2"
    git -C "$1" tag pristine
}

download_qemu() {
    stage "Downloading QEMU's source"
    update_own_sources
    logged apt-source env -C "$build/apt/source" APT_CONFIG="$apt_conf" \
        apt-get source --download-only --only-source qemu
    dsc=$(find "$build/apt/source" -name 'qemu_10.0.*.dsc' | sort -V | tail -n 1)
    [ -n "$dsc" ] || die 'Debian 13 has no QEMU 10.0 any more; try --qemu-source'
}

# The kernel's own package is the one that linux-image-amd64 depends on
nested_names() {
    for name in $nested_packages; do
        case $name in
        linux-image-*) apt-cache depends "$name" | sed -n 's/^ *Depends: \(linux-image-.*\)/\1/p' ;;
        *) echo "$name" ;;
        esac
    done
}

download_nested() {
    names=$(nested_names)
    # shellcheck disable=SC2086 # a list of words
    env -C "$1" apt-get -o APT::Sandbox::User=root download $names && return 0
    # The lists may be missing or old
    become_root
    as_root apt-get update || echo 'apt-get update failed; going on with the lists that are there'
    names=$(nested_names)
    # shellcheck disable=SC2086 # a list of words
    env -C "$1" apt-get -o APT::Sandbox::User=root download $names
}

unpack_nested() {
    for package in "$1"/*.deb; do
        dpkg-deb --extract "$package" "$1/root" || return 1
    done
    rm "$1"/*.deb
}

# What tests under KVM need to make a machine that can do KVM
fetch_nested() {
    [ ! -d "$build/nested" ] || return 0
    stage "Downloading Debian packages for tests under KVM: $nested_packages"
    rm -rf "$build/new-nested"
    mkdir "$build/new-nested"
    logged nested-download download_nested "$build/new-nested"
    logged nested-unpack unpack_nested "$build/new-nested"
    mv "$build/new-nested" "$build/nested"
}

download_libvirt() {
    logged libvirt-source env -C "$1" APT_CONFIG="$apt_conf" \
        apt-get source --download-only --only-source libvirt
}

# Debian 12's libvirt, to try patches-upstream/libvirt on; the tests do without if it cannot be had. In a shell of
# its own, which a failing step ends.
fetch_libvirt() (
    [ ! -d "$build/libvirt-src" ] || return 0
    stage "Downloading libvirt's source, to apply patches-upstream/libvirt to"
    new=$build/new-libvirt
    rm -rf "$new"
    mkdir "$new"
    update_own_sources bookworm
    download_libvirt "$new"
    logged libvirt-unpack dpkg-source --no-copy -x "$new"/libvirt_9.0.0-*.dsc "$new/source"
    rm -rf "$new/source/.pc"
    make_repository "$new/source" "Debian 12's libvirt 9.0.0, as unpacked"
    mv "$new/source" "$build/libvirt-src"
    rm -rf "$new"
)

# fetch_qemu_branch VERSION: the source of another version of QEMU, which a branch of the series is for, in
# build/qemu-src-VERSION. Debian's archive may no longer have it. In a shell of its own, which a failing step ends.
fetch_qemu_branch() (
    [ ! -d "$build/qemu-src-$1" ] || return 0
    stage "Downloading the source of QEMU $1, for its branch of the series"
    new=$build/new-qemu-$1
    rm -rf "$new"
    mkdir "$new"
    update_own_sources sid
    found=$(APT_CONFIG=$apt_conf apt-cache showsrc --only-source qemu |
        sed -n "s/^Version: \(.*\)/\1/p" | grep -E "^([0-9]+:)?$1\.[0-9]" | sort -V | tail -n 1)
    [ -n "$found" ] || die "Debian's archive has no QEMU $1 any more"
    logged branch-source env -C "$new" APT_CONFIG="$apt_conf" \
        apt-get source --download-only --only-source "qemu=$found"
    logged branch-unpack dpkg-source --no-copy --skip-patches -x "$new"/qemu_*.dsc "$new/source"
    rm -rf "$new/source/debian" "$new/source/.pc"
    make_repository "$new/source" "QEMU $found, as unpacked"
    mv "$new/source" "$build/qemu-src-$1"
    rm -rf "$new"
)

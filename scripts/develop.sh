# The commands that need the sources: build, test and series
#
# Part of ../vmi, which sources it.
#
# shellcheck shell=sh disable=SC2154 # ../vmi and debian.sh have the variables
#
# SPDX-License-Identifier: GPL-2.0-or-later

# In MB, with the sources; what the tests need is more packages, kernels and libvirt's source
build_room=1200 test_room=2200

show_develop_help() {
    case $1 in
    build) cat <<'EOF'
usage: ./vmi build [OPTIONS]

Install missing Debian packages, unpack Debian 13's QEMU 10.0 in build/qemu-src, apply patches-upstream/ and
build build/bin/qemu-system-i386 and build/bin/qemu-system-x86_64. A second call does only what has changed.

  --qemu-source DIR     use a copy of this unpacked QEMU 10.x tree instead (later calls stay with it)
  --jobs N              processes to compile with (default: ninja's choice for this machine)
EOF
        ;;
    test) cat <<'EOF'
usage: ./vmi test [--full] [MESON TEST ARGS]

Build, then run the tests: all, or those that MESON TEST ARGS choose (as in --suite qtest). The last line
counts what passed, failed and was skipped.

  --full                also those that take long, which are the suite full: other builds of QEMU, sanitizers,
                        coverage. A report of the run goes to build/full/report.rst.inc.

docs/testing.rst says what each level has, and how long it takes.
EOF
        ;;
    package) show_package_help ;;
    series) cat <<'EOF'
usage: ./vmi series [OPTIONS]

Build, then write the series for qemu-devel to build/series/qemu-10.0: a cover letter and the patches, overlay
included, one mail a file, and all of them in series.mbox. docs/howto/upstream.rst says what to do with them.

  --qemu VERSION        for this QEMU instead, a branch in patches-upstream/qemu-VERSION
  -v N                  as the Nth version of the series
EOF
        ;;
    *) cat <<'EOF'
usage: ./vmi run [OPTIONS] [-- QEMU ARGS]   boot a guest in VMI mode; without --kernel, the demo guest
       ./vmi import [OPTIONS] GUEST.vmx     take a guest of VMware's over
       ./vmi build [OPTIONS]                build QEMU with the vmi-pci device
       ./vmi test [--full] [MESON ARGS]     run the tests
       ./vmi bench [OPTIONS]                measure what VMI gains and costs
       ./vmi package [OPTIONS]              make Debian packages, or a repository of them for apt
       ./vmi series [OPTIONS]               write the patches for QEMU, as mails
       ./vmi COMMAND --help
       ./vmi --version

Each of them but import first installs and builds what is missing. All of it ends up in build/, the logs in build/log/.
EOF
        ;;
    esac
}

# done_so_far PERCENT DONE ALL START: a text such as "45 %, about 3 min left"
done_so_far() {
    printf '%s %%' "$1"
    seconds=$(($(date +%s) - $4))
    # The first seconds tell little
    [ "$seconds" -ge 5 ] && [ "$2" -gt 0 ] && [ "$1" -lt 100 ] || return 0
    left=$((seconds * ($3 - $2) / $2))
    if [ "$left" -lt 60 ]; then
        printf ', less than a minute left'
    else
        printf ', about %s min left' "$(((left + 30) / 60))"
    fi
}

# A terminal shows how far a command is, and the latest line of its output, in place; a file gets a line for each
# twentieth that ninja has done. Both get what the command waits for.
progress() {
    shown='' so_far='' start=$(date +%s)
    while IFS= read -r line; do
        case $line in
        'Waiting for cache lock'*)
            [ ! -t 1 ] || printf '\r\033[K'
            [ "$line" = "$shown" ] || printf '    %s\n' "$line"
            shown=$line
            continue
            ;;
        '['[0-9]*/*'] '*)
            steps=${line%%\]*}
            steps=${steps#\[}
            percent=$((${steps%/*} * 100 / ${steps#*/}))
            if [ -t 1 ]; then
                [ "$percent" = "$shown" ] ||
                    so_far="[$(done_so_far "$percent" "${steps%/*}" "${steps#*/}" "$start")] "
                shown=$percent
            elif [ "$((percent / 5))" != "$shown" ]; then
                printf '    %s\n' "$(done_so_far "$percent" "${steps%/*}" "${steps#*/}" "$start")"
                shown=$((percent / 5))
            fi
            ;;
        esac
        [ ! -t 1 ] || printf '\r\033[K%.79s' "$so_far$line"
    done
    [ ! -t 1 ] || printf '\r\033[K'
}

# The end of a log; of apt's, which may be long, its errors
show_end() {
    if grep -q '^E: ' "$1"; then
        grep -E '^(W: Failed|E: )' "$1" | sort -u | head -n 8
    else
        tail -n 30 "$1"
    fi
}

# What to do about a step that failed, if its log tells
advice() {
    if grep -q -i 'No space left on device\|not enough free space' "$1"; then
        echo "vmi: no room is left: building takes $build_room MB in $build, the tests $test_room MB"
    elif grep -q -E 'Temporary failure resolving|Could not (resolve|connect)|Network is unreachable|Connection failed' \
        "$1"; then
        echo "vmi: apt's mirror cannot be reached: is there a network, or a proxy to be set in http_proxy?"
    elif grep -q 'Could not get lock' "$1"; then
        echo 'vmi: another apt or dpkg is at work: try again when it is done'
    fi
}

# logged NAME COMMAND...: the output goes to build/log/NAME.log, and its end is shown if the command fails
logged() {
    step=$1 log=$build/log/$1.log
    shift
    rm -f "$log.failed"
    { "$@" </dev/null 2>&1 || : >"$log.failed"; } | tee "$log" | progress
    [ -e "$log.failed" ] || return 0
    rm -f "$log.failed"
    show_end "$log" >&2
    advice "$log" >&2
    die "$step failed; the whole log is $log"
}

check_qemu_source() {
    [ -d "$1" ] || die "$1 is not a directory"
    version=$(cat "$1/VERSION" 2>/dev/null) || version=
    case $version in
    10.*) ;;
    *) die "$1 is not a QEMU 10.x source tree: its VERSION is ${version:-missing}" ;;
    esac
    [ -d "$1/subprojects/keycodemapdb" ] || die "$1 is not from a release: it lacks subprojects/keycodemapdb"
    [ ! -e "$1/hw/vmi" ] || die "$1 is not QEMU's own source: it has hw/vmi already"
}

# The tree gets its place only when it is complete. Debian's patches are left out: none is needed here.
unpack_qemu() {
    if [ -d "$source" ]; then
        origin=$(cat "$source/.git/vmi-origin")
        [ "${qemu_source:-$origin}" = "$origin" ] ||
            die "build/qemu-src comes from $origin; remove it to use $qemu_source"
        return 0
    fi
    # What was compiled from another tree would look up to date beside this one
    rm -rf "$build/new" "$build/qemu"
    mkdir "$build/new"
    new=$build/new/qemu-src
    if [ -n "$qemu_source" ]; then
        stage "Copying QEMU's source from $qemu_source"
        logged copy cp -a "$qemu_source" "$new"
        rm -rf "$new/.git" "$new/build"
    else
        download_qemu
        stage "Unpacking QEMU's source"
        logged unpack dpkg-source --no-copy --skip-patches -x "$dsc" "$new"
        rm -rf "$new/debian" "$new/.pc"
    fi
    check_qemu_source "$new"
    make_repository "$new" "QEMU $version, as unpacked"
    git -C "$new" tag applied
    echo "${qemu_source:-Debian}" >"$new/.git/vmi-origin"
    mv "$new" "$source"
    rm -rf "$build/new"
}

# The tag "applied" is where patches-upstream ends in the tree; a developer's commits come after it.
apply_patches() {
    series=$(cat "$top/patches-upstream/series" "$top"/patches-upstream/*.patch | sha256sum)
    [ "$series" != "$(cat "$source/.git/vmi-series" 2>/dev/null)" ] || return 0
    stage 'Applying patches-upstream'
    logged apply-patches "$top/scripts/make-series" --source "$source" --apply "$top/patches-upstream"
    commit=$(tail -n 1 "$build/log/apply-patches.log")
    # A developer who has just exported the series has its content in the tree already
    if ! git -C "$source" diff --quiet "$commit"; then
        git -C "$source" diff --quiet HEAD ||
            die 'patches-upstream has changed, and build/qemu-src has uncommitted edits: commit or undo them'
        ! git -C "$source" cherry "$commit" HEAD applied | grep -q '^+' ||
            die 'patches-upstream has changed, and lacks commits of build/qemu-src: export or remove them'
    fi
    # Files that stay the same keep their time, so that little has to be compiled again
    git -C "$source" reset --quiet --hard "$commit"
    git -C "$source" tag --force applied >/dev/null
    echo "$series" >"$source/.git/vmi-series"
}

# link PLACE OURS: make PLACE in QEMU's tree a link to OURS, which its repository does not have to care about
link() {
    [ "$(readlink -f "$source/$1")" = "$(readlink -f "$top/$2")" ] || ln -snfr "$top/$2" "$source/$1"
    grep -qsxF "/$1" "$source/.git/info/exclude" || echo "/$1" >>"$source/.git/info/exclude"
}

# Files that are new in QEMU and belong to a patch; their paths below patches-upstream/files are QEMU's
link_files() {
    for file in $(cd "$top/patches-upstream/files" && find . -type f); do
        file=${file#./}
        mkdir -p "$source/${file%/*}"
        link "$file" "patches-upstream/files/$file"
    done
}

configure_qemu() {
    set -- "$source" "$build/qemu" --target-list=i386-softmmu,x86_64-softmmu --with-devices-x86_64=vmi \
        --with-pkgversion=qemu-vmi --enable-plugins --enable-capstone --enable-kvm --enable-avx2 \
        --enable-malloc-trim --enable-stack-protector --enable-sdl --enable-vnc --audio-drv-list=sdl --enable-slirp \
        --enable-vmdk --enable-vdi --enable-vpc --enable-vhdx --enable-vvfat
    ! "$top/scripts/configure-qemu" --is-done "$@" || return 0
    stage 'Configuring QEMU'
    # Half of a configuration, of an interrupted one, would be in the way
    [ -e "$build/qemu/vmi-configure" ] || rm -rf "$build/qemu"
    rm -f "$build/qemu/vmi-configure"
    logged configure "$top/scripts/configure-qemu" "$@"
}

# The guest programs and the rest of the project, all of it or TARGETs
compile_project() {
    # Of an interrupted set-up there may be no more than half
    if [ ! -e "$build/project/build.ninja" ] || [ ! -e "$build/project/meson-private/coredata.dat" ]; then
        rm -rf "$build/project"
        logged setup meson setup "$build/project" "$top"
    fi
    logged compile-guests ninja -C "$build/project" ${jobs:+-j "$jobs"} "$@"
}

compile_qemu() {
    logged compile ninja -C "$build/qemu" ${jobs:+-j "$jobs"} "$@"
    mkdir -p "$build/bin"
    ln -sf ../qemu/qemu-system-i386 ../qemu/qemu-system-x86_64 "$build/bin"
}

compile() {
    set -- qemu-system-i386 qemu-system-x86_64 pc-bios/vmi/vmi.rom
    for test in "$top"/tests-qtest/qtest/*-test.c; do
        test=${test##*/}
        set -- "$@" "tests/qtest/${test%.c}"
    done
    stage 'Compiling QEMU'
    compile_qemu "$@"
    stage 'Compiling the guest programs'
    compile_project
}

# What "vmi run" needs and no more, for whoever waits to see something
compile_demo() {
    stage 'Compiling qemu-system-i386'
    compile_qemu qemu-system-i386 pc-bios/vmi/vmi.rom
    stage 'Compiling the demo guest'
    compile_project kvm-probe tests-qtest/guest/demo.elf
}

is_plain() {
    case $1 in
    *[!A-Za-z0-9_./+-]*) return 1 ;;
    esac
}

# A place that all can write to, and in it a directory of ours that nobody else can put in our way
shared_place() {
    parent=/var/tmp/qemu-vmi-$(id -u)
    [ -d "$parent" ] || mkdir -m 700 "$parent"
    if [ -L "$parent" ] || [ "$(stat -c %u "$parent")" != "$(id -u)" ]; then
        die "$parent is somebody else's"
    fi
    echo "$parent/$1"
}

# The directory to build in. QEMU's configure and Makefiles take no path with a space, a colon, an umlaut and so on;
# for sources in such a place, build/ is a link to a directory elsewhere. A link that the user has made stays.
place_build() {
    name=qemu-vmi/$(printf %s "$top" | sha256sum | cut -c 1-16)
    # Whoever empties a cache leaves a link to nothing
    place=$(readlink -m "$build")
    case $place in
    */"$name") ;;
    # Left by sources that were moved or copied
    */qemu-vmi/????????????????) rm -f "$build" ;;
    esac
    if ! is_plain "$(readlink -m "$build")"; then
        place=${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/$name
        if ! is_plain "$place" || ! mkdir -p "$place" 2>/dev/null; then
            place=$(shared_place "$name")
            mkdir -p "$place"
        fi
        if [ -d "$build" ]; then
            rmdir "$place"
            mv "$build" "$place"
        fi
        ln -sfn "$place" "$build" || die "cannot write to $top"
        stage "Building in $place: QEMU takes no path with characters like those of $top"
    fi
    build=$(readlink -m "$build")
    mkdir -p "$build" || die "cannot write to ${build%/*}"
    source=$build/qemu-src
    # shellcheck disable=SC2034 # debian.sh uses it
    apt_conf=$build/apt/apt.conf
    mkdir -p "$build/log"
}

check_room() {
    [ ! -e "$build/qemu/qemu-system-i386" ] || return 0
    room=$(($(df --output=avail -m "$build" | tail -n 1) + $(du -sm "$build" | cut -f 1)))
    [ "$room" -ge "$build_room" ] ||
        die "building takes $build_room MB in $build, and there is room for $room MB (the tests take $test_room MB)"
}

# Only one vmi builds at a time: the lock is file descriptor 9. "vmi test" keeps a share of it while its tests run.
# take_lock: sets to_do to nothing if all is built and stays so
take_lock() {
    to_do=yes
    exec 9>>"$build/lock"
    ! flock --nonblock 9 || return 0
    if [ "$command" = run ] && [ -e "$emulator" ] && [ -e "$demo" ] && flock --nonblock --shared 9; then
        stage 'Tests are running: this is what they test, built before they began'
        to_do=
        return 0
    fi
    stage 'Waiting for another vmi to finish'
    flock 9
}

# prepare [PACKAGE...]: all up to compiling, with these packages, too. Sets to_do to nothing if all is built.
prepare() {
    place_build
    # "vmi test" has built what its tests need
    to_do=
    [ "${VMI_LOCK_HELD:-}" != "$build/lock" ] || return 0
    take_lock
    [ -n "$to_do" ] || return 0
    # Build directories are full of absolute paths, and do not survive a move
    [ "$top" = "$(cat "$build/place" 2>/dev/null)" ] || rm -rf "$build/qemu" "$build/project" "$build/package"
    echo "$top" >"$build/place"

    check_room
    install_packages "$@"
    unpack_qemu
    apply_patches
    link hw/vmi hw-vmi
    link include/hw/vmi hw-vmi/include
    link pc-bios/vmi rom-src
    link tests/qtest/vmi tests-qtest/qtest
    link docs/config/vmi-esx35.cfg docs/config/vmi-esx35.cfg
    link configs/devices/i386-softmmu/vmi.mak scripts/devices.mak
    link configs/devices/x86_64-softmmu/vmi.mak scripts/devices.mak
    link_files
    configure_qemu
}

# Both leave the lock held, by file descriptor 9
build_all() {
    prepare "$@"
    [ -z "$to_do" ] || compile
}

build_demo() {
    prepare
    [ -z "$to_do" ] || compile_demo
}

command_build() {
    while [ $# -gt 0 ]; do
        case $1 in
        --*=*)
            option=${1%%=*} value=${1#*=}
            shift
            set -- "$option" "$value" "$@"
            ;;
        -h|--help) show_help build ;;
        --qemu-source)
            [ $# -gt 1 ] || usage_error "$1 needs a directory"
            check_qemu_source "$2"
            qemu_source=$(readlink -f "$2")
            shift 2
            ;;
        --jobs)
            case ${2:-} in
            ''|0|*[!0-9]*) usage_error "$1 needs a number" ;;
            esac
            jobs=$2
            shift 2
            ;;
        *) usage_error "unknown option $1" ;;
        esac
    done
    build_all
    stage "Ready: $top/build/bin/qemu-system-i386 and $top/build/bin/qemu-system-x86_64"
}

command_test() {
    case ${1:-} in -h|--help) show_help test ;; esac
    full=
    if [ "${1:-}" = --full ]; then
        full=full
        shift
    fi
    # shellcheck disable=SC2086 # a list of words
    build_all $test_packages ${full:+$full_packages}
    fetch_nested
    fetch_libvirt || echo 'going on without it'
    [ -z "$full" ] || fetch_qemu_branch 10.2 || echo 'going on without it'
    # "vmi run" may use what is tested
    [ "${VMI_LOCK_HELD:-}" = "$build/lock" ] || flock --shared 9
    stage 'Testing'
    # Meson adds the setup's name
    results=$build/project/meson-logs/testlog-${full:-short}
    rm -f "$results".*
    status=0
    # A guest that outlives its test must not keep the lock
    VMI_LOCK_HELD=$build/lock meson test -C "$build/project" --setup "${full:-short}" \
        --logbase testlog --print-errorlogs "$@" 9>&- || status=1
    "$top/tests-qtest/full/count-results" "$results" ${full:+"$build/full/report.rst.inc"} || status=1
    return "$status"
}

command_series() {
    branch='' reroll=''
    while [ $# -gt 0 ]; do
        case $1 in
        -h|--help) show_help series ;;
        --qemu|-v) [ $# -gt 1 ] || usage_error "$1 needs a value" ;;
        *) usage_error "unknown option $1" ;;
        esac
        case $1 in
        --qemu) branch=$2 ;;
        -v) reroll=$2 ;;
        esac
        shift 2
    done
    [ -z "$branch" ] || [ "$branch" = 10.0 ] || [ -e "$top/patches-upstream/qemu-$branch/series" ] ||
        usage_error "there is no branch of the series for QEMU $branch"
    build_all
    tree=$source
    case $branch in
    ''|10.0) ;;
    *)
        tree=$build/qemu-src-$branch
        [ -d "$tree" ] || fetch_qemu_branch "$branch"
        ;;
    esac
    stage 'Writing the series'
    "$top/scripts/make-series" --source "$tree" ${reroll:+-v "$reroll"}
}

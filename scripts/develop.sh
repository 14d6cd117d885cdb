# The commands that need the sources: build, test, bench, package and series
#
# Part of ../vmi, which sources it.
#
# shellcheck shell=sh disable=SC2154 # ../vmi and debian.sh have the variables
#
# SPDX-License-Identifier: GPL-2.0-or-later

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
    package) cat <<'EOF'
usage: ./vmi package

Build, then make a Debian package of it: build/package/qemu-system-vmi_VERSION_amd64.deb. It can be installed
beside Debian's own QEMU.
EOF
        ;;
    series) cat <<'EOF'
usage: ./vmi series [OPTIONS]

Build, then write the series for qemu-devel to build/series/qemu-10.0: a cover letter and the patches, overlay
included, one mail a file, and all of them in series.mbox. docs/howto/upstream.rst says what to do with them.

  --qemu VERSION        for this QEMU instead, a branch in patches-upstream/qemu-VERSION
  -v N                  as the Nth version of the series
EOF
        ;;
    bench) cat <<'EOF'
usage: ./vmi bench [OPTIONS]

Measure VMI. Without --kernel, a guest program does each operation natively and by VMI calls, in turns. With
--kernel, a Linux of yours boots with vmi-pci and without, in turns, and measures itself. Both end with a table
of medians, ratios and spread. docs/benchmarks.rst explains it.

  --kernel FILE         a Linux bzImage with CONFIG_VMI; needs --initrd
  --initrd FILE         prints lines "BENCH <row> <ns per operation>", and "BENCH DONE" at the end
  --append STRING       its command line; replaces the default, console=ttyS0
  --baseline FILE       another qemu-system-i386, stock QEMU say, to compare ours without vmi-pci with
  --smp N               processors (default: 1)
  --memory SIZE         of the Linux guest (default: 256M)
  --accel tcg|kvm       default: tcg
  --runs N              boots of each (default: 5)
  --timeout SECONDS     for one boot (default: 900)
  --quick               a glance, not a measurement; only without --kernel
  --output DIR          gets results.csv, .json, .svg and .rst.inc (default: build/bench)
EOF
        ;;
    *) cat <<'EOF'
usage: ./vmi run [OPTIONS] [-- QEMU ARGS]   boot a guest in VMI mode; without --kernel, the demo guest
       ./vmi build [OPTIONS]                build QEMU with the vmi-pci device
       ./vmi test [--full] [MESON ARGS]     run the tests
       ./vmi bench [OPTIONS]                measure what VMI gains and costs
       ./vmi package                        make a Debian package
       ./vmi series [OPTIONS]               write the patches for QEMU, as mails
       ./vmi COMMAND --help

Each of them first installs and builds what is missing. All of it ends up in build/, the logs in build/log/.
EOF
        ;;
    esac
}

# A terminal shows the latest line of a command's output in place; a file gets a line for each tenth that
# ninja has done.
progress() {
    shown=
    while IFS= read -r line; do
        if [ -t 1 ]; then
            printf '\r\033[K%.79s' "$line"
            continue
        fi
        case $line in
        '['[0-9]*/*'] '*) ;;
        *) continue ;;
        esac
        steps=${line%%\]*}
        steps=${steps#\[}
        tenth=$((${steps%/*} * 10 / ${steps#*/}))
        [ "$tenth" = "$shown" ] || printf '    step %s of %s\n' "${steps%/*}" "${steps#*/}"
        shown=$tenth
    done
    [ ! -t 1 ] || printf '\r\033[K'
}

# logged NAME COMMAND...: the output goes to build/log/NAME.log, and its end is shown if the command fails
logged() {
    step=$1 log=$build/log/$1.log
    shift
    rm -f "$log.failed"
    { "$@" </dev/null 2>&1 || : >"$log.failed"; } | tee "$log" | progress
    [ -e "$log.failed" ] || return 0
    rm -f "$log.failed"
    tail -n 30 "$log" >&2
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
    logged configure "$top/scripts/configure-qemu" "$@"
}

compile() {
    set -- qemu-system-i386 qemu-system-x86_64 pc-bios/vmi/vmi.rom
    for test in "$top"/tests-qtest/qtest/*-test.c; do
        test=${test##*/}
        set -- "$@" "tests/qtest/${test%.c}"
    done
    stage 'Compiling QEMU'
    logged compile ninja -C "$build/qemu" ${jobs:+-j "$jobs"} "$@"
    mkdir -p "$build/bin"
    ln -sf ../qemu/qemu-system-i386 ../qemu/qemu-system-x86_64 "$build/bin"

    stage 'Compiling the guest programs'
    [ -e "$build/project/build.ninja" ] || logged setup meson setup "$build/project" "$top"
    logged compile-guests ninja -C "$build/project"
}

# build_all [PACKAGE...]: needs these packages too; leaves the lock held, by file descriptor 9
build_all() {
    case $top in
    *[!A-Za-z0-9_./+-]*) die "QEMU cannot be built in a directory of this name: $top" ;;
    esac
    mkdir -p "$build/log"
    # "vmi test" has the lock while its tests run, and has built what they need
    [ "${VMI_LOCK_HELD:-}" != "$build/lock" ] || return 0
    exec 9>"$build/lock"
    flock --nonblock 9 || {
        stage 'Waiting for another vmi to finish'
        flock 9
    }
    # Build directories are full of absolute paths, and do not survive a move
    [ "$top" = "$(cat "$build/place" 2>/dev/null)" ] || rm -rf "$build/qemu" "$build/project" "$build/package"
    echo "$top" >"$build/place"

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
    compile
}

command_build() {
    while [ $# -gt 0 ]; do
        case $1 in
        --*=*)
            option=${1%%=*} value=${1#*=}
            shift
            set -- "$option" "$value" "$@"
            ;;
        --help) show_help build ;;
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
    stage "Ready: $build/bin/qemu-system-i386 and $build/bin/qemu-system-x86_64"
}

command_test() {
    [ "${1:-}" != --help ] || show_help test
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

command_bench() {
    for option in "$@"; do
        [ "$option" != --help ] || show_help bench
    done
    # What is wrong with the options is said before the long work, if Python is there already
    [ ! -x /usr/bin/python3 ] || "$top/tools/bench" --check "$@"
    # shellcheck disable=SC2086 # a list of words
    build_all $bench_packages
    exec 9>&-
    stage 'Measuring'
    exec "$top/tools/bench" "$@"
}

command_package() {
    for option in "$@"; do
        [ "$option" != --help ] || show_help package
        usage_error "unknown option $option"
    done
    # shellcheck disable=SC2086 # a list of words
    build_all $package_packages
    stage 'Making a package'
    logged package "$top/scripts/make-package" "$build/package"
    stage "Ready: $(tail -n 1 "$build/log/package.log")"
}

command_series() {
    branch='' reroll=''
    while [ $# -gt 0 ]; do
        case $1 in
        --help) show_help series ;;
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

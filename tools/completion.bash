# Completion of the command vmi for bash. Commands and options are those of its own help.
#
# Installed, bash-completion loads this. Without: . tools/completion.bash
#
# SPDX-License-Identifier: GPL-2.0-or-later

_vmi() {
    local vmi=$1 word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command='' words=''
    COMPREPLY=()
    [ "$COMP_CWORD" = 1 ] || command=${COMP_WORDS[1]}
    # From "--" on, the words are QEMU's
    case " ${COMP_WORDS[*]:0:COMP_CWORD} " in *' -- '*) before=-- ;; esac
    case $command$before in
    *--accel) words='tcg kvm' ;;
    *--display) words='sdl none' ;;
    *--boot) words='disk cdrom' ;;
    *--nic) words='pcnet rtl8139 e1000 none' ;;
    *--vga) words='std cirrus vmware none' ;;
    *--controller) words='ide lsilogic lsisas1068 vmpvscsi' ;;
    *--append|*--jobs|*--key|*--memory|*--qemu|*--runs|*--smp|*--timeout|*-v) return ;;
    *--output|*--qemu-source|*--repo) mapfile -t COMPREPLY < <(compgen -d -- "$word"); return ;;
    *--baseline|*--cdrom|*--disk|*--initrd|*--kernel|*--log|*--) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
    *)
        if [ "$command" = import ] && [ "${word:0:1}" != - ]; then
            mapfile -t COMPREPLY < <(compgen -f -- "$word")
            return
        elif [ -n "$command" ]; then
            words=$("$vmi" "$command" --help 2>/dev/null | sed -n 's/^  \(--[a-z-]*\).*/\1/p')' --help'
        else
            words=$("$vmi" --help 2>/dev/null | sed -n 's/^.*vmi \([a-z]*\) .*  .*/\1/p')' --help --version'
        fi
        ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -o filenames -F _vmi vmi

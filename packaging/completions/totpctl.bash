# bash completion for totpctl(8)                                             -*- shell-script -*-
#
# The program itself answers, with words that are quoted already: here nothing is evaluated.

_totpctl() {
    local answer
    COMPREPLY=()
    mapfile -t answer < <(
        _TOTPCTL_COMPLETE=bash /usr/sbin/totpctl "${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS" \
            </dev/null 2>/dev/null
    )
    if [[ ${answer[0]-} == files ]]; then
        compopt -o default
    else
        COMPREPLY=("${answer[@]:1}")
    fi
}

complete -F _totpctl totpctl

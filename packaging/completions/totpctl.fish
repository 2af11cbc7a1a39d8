# fish completion for totpctl(8)
#
# The program itself answers. What it names is data: fish quotes it, and nothing is evaluated.

function __totpctl_complete
    set -l before (commandline -opc)
    set -l answer (_TOTPCTL_COMPLETE=fish /usr/sbin/totpctl $before[2..] (commandline -ct) \
        </dev/null 2>/dev/null)
    if test "$answer[1]" = files
        __fish_complete_path (commandline -ct)
    else
        printf '%s\n' $answer[2..]
    end
end

complete -c totpctl -f -a '(__totpctl_complete)'

# shellcheck shell=sh
# Read by build_deb.sh and build_rpm.sh.
#
# Write what git tracks in this folder, each name ended by a zero byte. Fails where git cannot tell.
#
# Root builds checkouts of others, whose .git/config may name programs for git to run: a file system
# monitor, hooks, filters, a pager, ssh. So git is shown a copy of the index, in a repository made for
# that, with no configuration but its own, and nothing of the environment. The index is theirs as well,
# and may be made by hand: a name in it that leads out of the folder is refused, with all the others.
tracked_files() (
    folder=.git
    if [ -f .git ]; then folder=$(sed -n 's/^gitdir: //p' .git); fi # a worktree's
    repository=$(mktemp -d) || exit 1
    trap 'rm -rf "$repository"' EXIT
    plain_git() {
        env -i PATH="$PATH" GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null git "$@"
    }
    plain_git init --quiet --bare --template= "$repository" || exit 1
    cp "$folder/index" "$repository/" || exit 1
    for part in "$folder"/sharedindex.*; do
        [ ! -f "$part" ] || cp "$part" "$repository/" || exit 1
    done
    plain_git --git-dir="$repository" ls-files -z --cached >"$repository/names" || exit 1
    # shellcheck disable=SC2016 # for the other shell
    xargs -0 sh -c '
        for name; do
            case /$name/ in
                //* | */../*)
                    printf "error: git tracks a name that leads out of this folder: %s\n" "$name" >&2
                    exit 1
                    ;;
            esac
            folder=${name%/*}
            while [ "$folder" != "$name" ]; do
                if [ -L "$folder" ]; then
                    printf "error: a folder of what git tracks is a symbolic link: %s\n" "$folder" >&2
                    exit 1
                fi
                [ "${folder%/*}" != "$folder" ] || break
                folder=${folder%/*}
            done
        done' sh <"$repository/names" || exit 1
    cat "$repository/names"
)

# shellcheck shell=sh
# Read by build_deb.sh and build_rpm.sh.
#
# Write what git tracks in this folder, each name ended by a zero byte. Fails where git cannot tell.
#
# Root builds checkouts of others, whose .git/config may name programs for git to run: a file system
# monitor, hooks, filters, a pager, ssh. So git is shown a copy of the index, in a repository made for
# that, with no configuration but its own, and nothing of the environment.
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
    plain_git --git-dir="$repository" ls-files -z --cached
)

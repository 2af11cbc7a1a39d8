#!/bin/sh
# Build the Debian package into a folder. The tree stays as it is: a copy of it is built.
#
#   packaging/build_deb.sh OUTPUT                   libpam-totp_VERSION_ARCHITECTURE.deb and its kin
#       --no-tests                                  leave out the package's tests
#       --version VERSION                           instead of the one in debian/changelog
#       --source                                    the source package too
#
# Two builds of one tree are the same, byte by byte.
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
umask 022

fail() {
    printf 'build_deb.sh: error: %s\n' "$1" >&2
    shift
    for hint in "$@"; do printf 'hint: %s\n' "$hint" >&2; done
    exit 1
}

# shellcheck source=packaging/tracked_files.sh
. "$(dirname "$0")/tracked_files.sh"

# What git tracks; without git, as in an unpacked archive, all but what builds and tests leave.
files() {
    if [ -e .git ] && command -v git >/dev/null; then
        tracked_files
    else
        find . \( -name .git -o -name __pycache__ -o -name '.*_cache' -o -path ./dist -o -path ./build \) \
            -prune -o \( -type f -o -type l \) -printf '%P\0'
    fi
}

output=
version=
kind=--build=binary
profiles=
options=
while [ $# -gt 0 ]; do
    case $1 in
        --no-tests) profiles=nocheck options=nocheck ;;
        --source) kind=--build=full ;;
        --version)
            [ $# -ge 2 ] || fail "--version needs a version"
            version=$2
            shift
            ;;
        -h | --help)
            sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
            exit 0
            ;;
        -*) fail "unknown argument: $1" "see: packaging/build_deb.sh --help" ;;
        *)
            [ -z "$output" ] || fail "one folder for the packages, not two: $output $1"
            output=$1
            ;;
    esac
    shift
done
[ -n "$output" ] || fail "where to?" "see: packaging/build_deb.sh --help"
command -v dpkg-buildpackage >/dev/null || fail "dpkg-buildpackage is missing" "run: apt-get install dpkg-dev"
for program in cc make; do # not the rest of build-essential: there is no C++ here
    command -v $program >/dev/null || fail "$program is missing" "run: apt-get install gcc libc6-dev make"
done
mkdir -p "$output"
output=$(realpath "$output")
cd "$(dirname "$0")/.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM HUP
tree=$scratch/pam-totp
mkdir "$tree"
SOURCE_DATE_EPOCH=$(dpkg-parsechangelog -l packaging/debian/changelog -S Timestamp)
# Times and modes as in no tree in particular.
files >"$scratch/files" || fail "git cannot tell which files it tracks" "the reason is above"
tar -c --null --no-recursion --ignore-failed-read --files-from="$scratch/files" \
    --mtime="@$SOURCE_DATE_EPOCH" --mode=u=rwX,go=rX | tar -x -C "$tree" --no-same-owner
mv "$tree/packaging/debian" "$tree/debian"
cd "$tree"

if [ -n "$version" ]; then
    sed -i "1s/(.*)/($version)/" debian/changelog
fi
export SOURCE_DATE_EPOCH LC_ALL=C.UTF-8 TZ=UTC
export DEB_BUILD_PROFILES="$profiles" DEB_BUILD_OPTIONS="$options"
missing=$(dpkg-checkbuilddeps -I 2>&1) || fail "${missing#*error: }" "run: apt-get install, and these names"
dpkg-buildpackage --no-check-builddeps --no-sign "$kind" >"$scratch/log" 2>&1 || {
    cat "$scratch/log" >&2
    fail "the package cannot be built" "the reason is above"
}
for file in "$scratch"/*_*; do
    mv -f "$file" "$output/"
    echo "$output/${file##*/}"
done

#!/bin/sh
# build_rpm.sh OUTPUT [--no-tests] [--no-selinux]: build the RPM packages, and the source package, into OUTPUT.
#
# In a temporary copy of the tree, which stays as it is. On Fedora and RHEL with the macros and build
# dependencies of the distribution; elsewhere with rpm/macros.elsewhere, and dependencies unchecked.
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH LC_ALL=C.UTF-8
umask 022

fail() {
    printf 'build_rpm.sh: error: %s\n' "$1" >&2
    printf 'hint: %s\n' "$2" >&2
    exit 2
}

output=
with=
for argument in "$@"; do
    case $argument in
        --no-tests) with="$with --without tests" ;;
        --no-selinux) with="$with --without selinux" ;;
        -h | --help)
            sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
            exit 0
            ;;
        -*) fail "unknown argument: $argument" "see: packaging/build_rpm.sh --help" ;;
        *) output=$argument ;;
    esac
done
[ -n "$output" ] || fail "where to?" "see: packaging/build_rpm.sh --help"
command -v rpmbuild >/dev/null || fail "rpmbuild is missing" "run: dnf install rpm-build, or apt install rpm"
mkdir -p "$output"
output=$(realpath "$output")
cd "$(dirname "$0")/.."

spec=packaging/rpm/pam_totp.spec
version=$(sed -n 's/^Version: *//p' "$spec")
# Of the first entry of the changelog: files that are built twice are the same twice.
SOURCE_DATE_EPOCH=$(date -u -d "$(sed -n '/^%changelog/{n;s/^\* \([A-Za-z]* [A-Za-z]* [0-9]* [0-9]*\) .*/\1/p;}' "$spec") 12:00" +%s)
export SOURCE_DATE_EPOCH

top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT
trap 'exit 130' INT TERM HUP
mkdir "$top/SOURCES"
install -m 0644 packaging/pam_files.sh "$top/SOURCES/"
install -m 0644 "$spec" "$top/" # with the mode that git keeps, whatever the umask was

# shellcheck source=packaging/tracked_files.sh
. packaging/tracked_files.sh

# What git knows of; without git, the tree as it was unpacked.
files() {
    if [ -e .git ]; then
        tracked_files
    else
        find . -type f ! -path './dist/*' ! -path './build/*' ! -name '*.pyc' -printf '%P\0' | sort -z
    fi
}

files >"$top/files"
tar -c --null --no-recursion --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 \
    --numeric-owner --mode=u=rwX,go=rX --transform="s|^|pam_totp-$version/|" --files-from="$top/files" |
    gzip -9n >"$top/SOURCES/pam_totp-$version.tar.gz"

set -- --define "_topdir $top" --define "_rpmdir $output" --define "_srcrpmdir $output" \
    --define "_build_name_fmt %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm" \
    --define "_buildhost localhost" --define "use_source_date_epoch_as_buildtime 1" \
    --define "build_mtime_policy clamp_to_source_date_epoch"
# The name of that before rpm 4.20, which warns about it.
if ! printf '4.20\n%s\n' "$(rpm --version | sed 's/.* //')" | sort -CV; then
    set -- --define "clamp_mtime_to_source_date_epoch 1" "$@"
fi
if [ -z "$(rpm --eval '%{?systemd_post:known}')" ]; then
    # Only a --load takes the place of rpm's own defaults, which are no paths of any distribution.
    set -- --nodeps --load="$PWD/packaging/rpm/macros.elsewhere" "$@"
fi
# shellcheck disable=SC2086 # words on purpose: options
rpmbuild -ba --quiet $with "$@" "$top/pam_totp.spec"
echo "built: $(cd "$output" && echo *.rpm)"

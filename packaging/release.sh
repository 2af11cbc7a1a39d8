#!/bin/sh
# Make a release of the commit that is checked out, into dist/VERSION, and tag it. Nothing is pushed.
#
#   packaging/release.sh VERSION            as make release VERSION=1.2.3
#       --skip-tests                        without lint and tests: for those who have just run both
#   packaging/release.sh --bump VERSION     write VERSION and today into every file that names them
#
# It refuses files that are not committed, a tag that is there, and versions that differ. Then: lint,
# all tests (with sudo: they need root), the Debian package from the tree, a source archive, the
# package once more from the unpacked archive, which must be the same byte by byte, checksums, the tag.
set -eu
umask 022

fail() {
    printf 'release.sh: error: %s\n' "$1" >&2
    shift
    for hint in "$@"; do printf 'hint: %s\n' "$hint" >&2; done
    exit 1
}

check_clean() {
    changed=$(git status --porcelain --untracked-files=all)
    [ -z "$changed" ] || fail "not committed:
$changed" "commit it, or move it out of the tree"
}

check_versions() {
    differing=$(/usr/bin/python3 -I -B packaging/version.py check "$version" 2>&1) ||
        fail "not everything is $version:
$differing" "run: packaging/release.sh --bump $version" "then read the difference, and commit it"
}

lint_and_test() {
    ./tests/run lint || fail "lint found something" "it is above"
    if [ "$(id -u)" -eq 0 ]; then set -- ./tests/run; else set -- sudo ./tests/run; fi
    "$@" || fail "a test failed" "it is above"
    [ "$commit" = "$(git rev-parse HEAD)" ] || fail "another commit was checked out meanwhile" "run it again"
    check_clean
}

# The same for everybody who has the commit, whatever their own settings of git are.
archive() {
    git -c tar.umask=0022 -c core.autocrlf=false -c core.attributesFile=/dev/null \
        archive --format=tar --prefix="$name/" "$commit" >"$scratch/archive.tar"
    gzip -9n <"$scratch/archive.tar" >"$scratch/files/$name.tar.gz"
}

# Without git, in a folder, with a umask and in a time zone that the first build did not have.
build_again() {
    mkdir "$scratch/unpacked here"
    tar -xzf "$scratch/files/$name.tar.gz" -C "$scratch/unpacked here"
    (
        umask 077
        TZ=Pacific/Auckland "$scratch/unpacked here/$name/packaging/build_deb.sh" "$scratch/again" --no-tests
    ) >"$scratch/log" || fail "the package cannot be built from the source archive" "the reason is above"
}

compare() {
    for package in "$scratch"/files/*.deb "$scratch"/again/*.deb; do
        cmp "$scratch/files/${package##*/}" "$scratch/again/${package##*/}" || {
            mkdir -p dist/differing
            cp -r "$scratch/files" "$scratch/again" dist/differing/
            fail "two builds are not the same: ${package##*/}" "compare both in dist/differing, with diffoscope"
        }
    done
}

build_all() {
    mkdir "$scratch/files"
    # shellcheck disable=SC2086 # nothing, or one option
    packaging/build_deb.sh "$scratch/files" $without_tests >"$scratch/log" ||
        fail "the package cannot be built" "the reason is above"
    archive
    build_again
    compare
    rm -f "$scratch"/files/*.changes # for uploads to an archive of Debian packages
    (cd "$scratch/files" && LC_ALL=C sha256sum -- *) >"$scratch/SHA256SUMS"
    mv "$scratch/SHA256SUMS" "$scratch/files/"
}

# What the release tells of itself, without the lines that say where it begins and ends.
tell() {
    printf 'pam_totp %s\n\n' "$version"
    sed -n "/^## \[$version\]/,/^## \[/{/^## \[/d;p;}" CHANGELOG.md
}

make_tag() {
    tell >"$scratch/message"
    if [ -n "$(git config user.signingkey)" ] || [ "$(git config --type=bool tag.gpgsign)" = true ]; then
        # git 2.39 tags without a signature where it finds no key of ssh, and ends well.
        if ! git tag -s --cleanup=whitespace -F "$scratch/message" "$tag" "$commit" ||
            ! git cat-file tag "$tag" | grep -q '^-----BEGIN .*SIGN'; then
            git tag -d "$tag" >/dev/null 2>&1 || true
            fail "the tag cannot be signed" "see: git config user.signingkey; the files are in dist/$version"
        fi
        signed="signed"
    else
        git tag -a --no-sign --cleanup=whitespace -F "$scratch/message" "$tag" "$commit"
        signed="not signed: git has no user.signingkey"
    fi
}

version=
bump=
without_tests=
for argument in "$@"; do
    case $argument in
        --bump) bump=yes ;;
        --skip-tests) without_tests=--no-tests ;;
        -h | --help)
            sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
            exit 0
            ;;
        -*) fail "unknown argument: $argument" "see: packaging/release.sh --help" ;;
        *)
            [ -z "$version" ] || fail "one version, not two: $version $argument"
            version=$argument
            ;;
    esac
done
[ -n "$version" ] || fail "which version?" "run: make release VERSION=1.2.3"
cd "$(dirname "$0")/.."
[ "$(git rev-parse --show-toplevel 2>&1)" = "$(pwd -P)" ] || fail "this is no checkout of git's" "clone it"
name=pam_totp-$version
tag=v$version

! git rev-parse -q --verify "refs/tags/$tag" >/dev/null || fail "there is a tag $tag already" "take the next version"
check_clean
if [ -n "$bump" ]; then
    /usr/bin/python3 -I -B packaging/version.py set "$version" ||
        fail "$version cannot be set" "the reason is above; git diff shows what was changed, if anything was"
    git --no-pager diff --stat
    echo "next: read the difference, then: git commit -am 'Release $version' && make release VERSION=$version"
    exit 0
fi
check_versions
commit=$(git rev-parse HEAD)

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM HUP
skipped=
if [ -n "$without_tests" ]; then
    skipped="warning: lint and tests were skipped, as --skip-tests asks: this commit may never have passed them"
    printf '%s\n' "$skipped" >&2
else
    lint_and_test
fi
build_all
rm -rf "dist/$version"
mkdir -p dist
cp -r "$scratch/files" "dist/$version"
make_tag

cat "dist/$version/SHA256SUMS"
echo "packages: two builds are the same, byte by byte; the second is from the source archive"
echo "files: dist/$version"
echo "tag: $tag ($signed)"
[ -z "$skipped" ] || printf '%s\n' "$skipped" >&2
echo "nothing was pushed; when all is well:"
echo "  git push origin HEAD $tag"
echo "  and put the files of dist/$version to the release of that tag"

#!/bin/sh
# Install pam_totp on Debian 12, Debian 13 or Ubuntu 24.04, ending in its self-test.
#
#   sudo ./install.sh                       install, or upgrade; key, store and settings are kept
#   sudo ./install.sh --uninstall           remove the programs; key, store and settings are kept
#   sudo ./install.sh --uninstall --purge   remove those too: every enrollment is lost
#
# It builds the Debian package libpam-totp and has apt install it.
# It touches neither the configuration of sshd or sudo, nor /etc/pam.d: totpctl enable does.
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin # the system's python3, whatever else is first on PATH
export PATH
umask 022

# What the package depends on: packaging/debian/control says the same.
# python3-six: Debian 12's python3-pampy needs it and does not say so.
PACKAGES="python3 python3-nacl python3-click python3-pyotp python3-segno python3-pampy python3-six"
BUILDING="make gcc libc6-dev libpam0g-dev debhelper dh-python po-debconf gettext" # purged again, unless they were there
CONFIG=/etc/security/pam_totp.conf
KEY=/etc/security/pam_totp.key
STATE=/var/lib/pam_totp
LIBRARY=/usr/lib/pam_totp
CACHE=/var/cache/pam_totp
INSTALLED=$CACHE/installed.deb # has passed its self-test
NEW=$CACHE/new.deb             # has not yet
PREVIOUS=$CACHE/previous.deb   # until then, the way back
LOG=/var/log/pam_totp-install.log # what apt and dpkg said in the last run
ROOM=16384                        # KiB that an upgrade, and the way back, may take

say() { # to a terminal that may be gone: that stops nothing
    printf '%s\n' "$@" 2>/dev/null || true
}

fail() {
    say "install.sh: error: $1" >&2
    shift
    for hint in "$@"; do say "hint: $hint" >&2; done
    exit 1
}

check_machine() {
    id=unknown
    if [ -r /etc/os-release ]; then
        # shellcheck source=/dev/null
        id=$(. /etc/os-release && printf '%s' "${ID:-unknown}")
    fi
    case $id in
        debian | ubuntu) ;;
        *) fail "this is $id; the installer knows Debian and Ubuntu" "see docs/reference/installation.md for what goes where" ;;
    esac
    [ "$(id -u)" -eq 0 ] || fail "only root can install" "run: sudo ./install.sh"
}

install_all() {
    install_missing "$PACKAGES"
    dependencies=$installed
    build
    check_room
    keep_previous
    finish_from_here
    mv -f "$scratch"/built/libpam-totp_*.deb "$NEW"
    say "installing the package"
    install_package "$NEW" || take_back "the new version could not be installed"
    if ! { to_the_end totpctl init && to_the_end totpctl selftest; }; then
        take_back "the new version failed its self-test"
    fi
    mv -f "$NEW" "$INSTALLED"
    rm -f "$PREVIOUS"
    remove_strays
    # shellcheck disable=SC2086 # one word a package
    [ -z "$dependencies" ] || apt-mark auto $dependencies >/dev/null # they go when it goes
    if grep -RqE --exclude='.*' '^[^#]*pam_totp' /etc/pam.d; then
        say "" "Upgraded. Look at: totpctl status; totpctl doctor"
        return
    fi
    cat packaging/next-steps 2>/dev/null || true # the terminal may be gone
}

# Have PREVIOUS, if there is anything to go back to. After a run that was killed what is in place
# may never have been tried: then PREVIOUS is there, and stays.
keep_previous() {
    if [ -e "$PREVIOUS" ] && { is_registered "$NEW" || is_registered "$PREVIOUS"; }; then
        return
    fi
    rm -f "$PREVIOUS"
    if is_registered "$INSTALLED"; then
        ln "$INSTALLED" "$PREVIOUS"
    elif is_packaged || [ -e "$LIBRARY" ]; then
        pack_installed "$PREVIOUS.new" ||
            fail "what is installed cannot be packed, as the way back" "nothing was changed"
        mv "$PREVIOUS.new" "$PREVIOUS"
    fi
}

# Build the package in $scratch/built; what apt installed for that, and nothing else, goes again.
build() {
    install_tools "$BUILDING"
    say "building the package"
    if ! packaging/build_deb.sh "$scratch/built" --no-tests >"$scratch/log" 2>&1; then
        tail -n 40 "$scratch/log" >&2
        cat "$scratch/log" >>"$LOG"
        remove_tools
        fail "the package cannot be built" "the reason is above; until then nothing was changed"
    fi
    remove_tools
}

# dpkg cannot go back where a disk is full: then nothing is begun.
check_room() {
    for folder in /usr /var/lib/dpkg "$CACHE" "$STATE"; do
        free=$(df -Pk "$folder" 2>/dev/null | awk 'NR == 2 { print $4 }')
        [ "${free:-$ROOM}" -ge "$ROOM" ] ||
            fail "less than $((ROOM / 1024)) MB are free in $folder" "nothing was changed; make room on the disk: df -h $folder"
    done
}

# End with an error, and with what was there before.
take_back() {
    trap '' INT TERM HUP
    if ! [ -e "$PREVIOUS" ]; then
        fail "$1, so do not put pam_totp into a PAM file yet" \
            "no file in /etc/pam.d was changed: everybody logs in as before" \
            "the reason is above, and in the system log; fix it and run it again"
    fi
    if ! is_in_place "$PREVIOUS"; then
        stop_service
        install_package "$PREVIOUS" || true
    fi
    start_service
    is_in_place "$PREVIOUS" ||
        fail "$1, and the previous version could not be installed again" \
            "the reason is above; when it is fixed, run: dpkg --install --force-confold $PREVIOUS"
    rm -f "$PREVIOUS" "$NEW"
    fail "$1; the previous one is back in place" "the reason is above, and in the system log"
}

# Until finish_from_here a signal ends this script, when the step that runs is done. After it, this
# goes on: to its end, or back to what was there.
interrupted() {
    signals=$((signals + 1))
    if [ -n "$finishing$step" ]; then
        say "install.sh: what was begun is finished first; interrupt again to stop it" >&2
        [ "$signals" -eq 1 ] || [ -z "$step" ] || kill -TERM "-$step" 2>/dev/null || true
        return
    fi
    trap '' INT TERM HUP
    finish_from_here
    finish_what_was_begun
    fail "interrupted" "run it again"
}

uninstall() {
    if ! is_packaged && [ -e "$LIBRARY" ]; then
        install_all # then it is a package, which says whether it may go
    fi
    finish_from_here
    if is_packaged; then
        remove_package remove || fail "apt-get did not remove libpam-totp" "the reason is above"
    fi
    rm -rf "$CACHE"
    if [ "$1" = purge ]; then
        if is_known; then
            echo "libpam-totp libpam-totp/purge-secrets boolean true" | debconf-set-selections || true
            remove_package purge || fail "apt-get did not purge libpam-totp" "the reason is above"
        fi
        rm -rf "$STATE"
        rm -f "$LOG" "$KEY" "$KEY.new" "$KEY.lock" "${KEY%/*}/.pam_totp-new.${KEY##*/}" "$CONFIG"
        say "removed pam_totp, its store, sealing key and configuration"
    else
        say "removed pam_totp; kept: $STATE $KEY $CONFIG"
    fi
}

case "$*" in
    "") action=install ;;
    --uninstall) action=keep ;;
    "--uninstall --purge" | "--purge --uninstall") action=purge ;;
    -h | --help)
        sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p}' "$0"
        exit 0
        ;;
    *) fail "unknown arguments: $*" "see: ./install.sh --help" ;;
esac
cd "$(dirname "$0")"
check_machine
exec 9>/run/pam_totp.install.lock
flock -n 9 || fail "another install.sh is running" "wait until it has ended"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# shellcheck source=packaging/installer/steps.sh
. packaging/installer/steps.sh
trap interrupted INT TERM HUP
install -d -m 0755 "$CACHE"
rm -f "$LOG"
finish_what_was_begun
if [ "$action" = install ]; then
    install_all
else
    uninstall "$action"
fi

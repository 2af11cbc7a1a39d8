#!/bin/sh
# Install pam_totp on Debian 12, Debian 13 or Ubuntu 24.04, ending in its self-test.
#
#   sudo ./install.sh                       install, or upgrade; key, store and settings are kept
#   sudo ./install.sh --uninstall           remove the programs; key, store and settings are kept
#   sudo ./install.sh --uninstall --purge   remove those too: every enrolment is lost
#
# It touches neither the configuration of sshd or sudo, nor /etc/pam.d: totpctl enable does.
set -eu
PATH=/usr/sbin:/usr/bin:/sbin:/bin # the system's python3, whatever else is first on PATH
export PATH
umask 022

# python3-six: Debian 12's python3-pampy needs it and does not say so.
PACKAGES="python3 python3-nacl python3-click python3-pyotp python3-segno python3-pampy python3-six make"
BUILDING="gcc libc6-dev libpam0g-dev" # removed again, unless they were there
CONFIG=/etc/security/pam_totp.conf
KEY=/etc/security/pam_totp.key
STATE=/var/lib/pam_totp
LIBRARY=/usr/lib/pam_totp
UNITS="pam_totp.socket pam_totp.service"
UNCONFIRMED=$STATE/unconfirmed.json

fail() {
    printf 'install.sh: error: %s\n' "$1" >&2
    shift
    for hint in "$@"; do printf 'hint: %s\n' "$hint" >&2; done
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
        *) fail "this is $id; the installer knows Debian and Ubuntu" "see docs/reference/files.md for what goes where" ;;
    esac
    [ "$(id -u)" -eq 0 ] || fail "only root can install" "run: sudo ./install.sh"
}

# Packages of the list that are not installed.
missing() {
    for package in "$@"; do
        state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
        [ "$state" = installed ] || printf ' %s' "$package"
    done
}

installed_packages() {
    dpkg-query -W -f '${db:Status-Status} ${binary:Package}\n' | sed -n 's/^installed //p' | sort
}

install_packages() {
    # shellcheck disable=SC2086 # one word a package
    wanted=$(missing $1)
    [ -n "$wanted" ] || return 0
    echo "installing:$wanted"
    apt-get update -q || fail "apt-get update failed" "look at /etc/apt/sources.list.d and the network"
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $wanted ||
        fail "apt-get install failed" \
            "on Ubuntu the packages are in universe: add-apt-repository universe"
}

# Build pam_totp.so in $scratch; what apt installed for that, and nothing else, goes again.
build_module() {
    installed_packages >"$scratch/before"
    install_packages "$BUILDING"
    make --no-print-directory -s native BUILD="$scratch" || fail "pam_totp.so cannot be built" \
        "the reason is above; until then nothing was changed"
    built_with=$(installed_packages | comm -13 "$scratch/before" - | tr '\n' ' ')
    [ -n "$built_with" ] || return 0
    echo "removing what was only needed to build: $built_with"
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get purge -q -y $built_with ||
        echo "install.sh: warning: they are still there; run: apt-get purge $built_with" >&2
    built_with=
}

install_all() {
    install_packages "$PACKAGES"
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    trap interrupted INT TERM HUP
    rm -rf "$LIBRARY.previous" # of a run that was killed: what is in place came after it
    build_module
    module=$(dirname "$(find /usr/lib -path '*/security/pam_unix.so' | head -n 1)")/pam_totp.so
    [ ! -e "$module" ] || cp -p "$module" "$scratch/previous.so"
    testing=yes
    make --no-print-directory -s install MODULE="$scratch/pam_totp.so"
    start_service
    if ! { totpctl init && totpctl selftest </dev/null; }; then
        restore_previous
    fi
    testing=
    rm -rf "$LIBRARY.previous"
    if [ -n "$(users_of_the_hook)" ]; then
        printf '\nUpgraded. Look at: totpctl status; totpctl doctor\n'
        return
    fi
    cat <<'EOF'

Next: 1. enrol yourself:                   totpctl enroll YOUR-NAME
      2. let sshd and sudo ask for codes:  totpctl enable sshd sudo
      3. log in from a second terminal, with a new connection
      4. keep it:                          totpctl confirm
         without that, everything is put back by itself after ten minutes
EOF
}

# Without systemd, or before it listens, pam_totp.so starts a worker for each login.
start_service() {
    [ -d /run/systemd/system ] || return 0
    systemctl daemon-reload
    # shellcheck disable=SC2086 # one word a unit
    systemctl stop $UNITS
    systemctl enable -q --now pam_totp.socket
}

stop_service() {
    [ -d /run/systemd/system ] || return 0
    # shellcheck disable=SC2086 # one word a unit
    systemctl disable -q --now $UNITS pam_totp-doctor.timer 2>/dev/null || true
}

# What is half done is finished or taken back before this script ends.
interrupted() {
    trap '' INT TERM HUP
    if [ -n "${built_with:-}" ]; then
        echo "install.sh: warning: these may still be there; run: apt-get purge $built_with" >&2
    fi
    [ -z "${testing:-}" ] || restore_previous
    fail "interrupted" "run it again"
}

restore_previous() {
    if [ -d "$LIBRARY.previous" ]; then
        /usr/bin/python3 -I packaging/put_in_place.py "$LIBRARY.previous" "$LIBRARY"
        rm -rf "$LIBRARY.previous"
        if [ -e "$scratch/previous.so" ]; then
            cp -p "$scratch/previous.so" "$module.new"
            mv -f "$module.new" "$module"
        else
            rm -f "$module"
        fi
        start_service
        /usr/bin/python3 -I packaging/take_back_schema.py "$LIBRARY" || true # it says why not
        fail "the new version failed its self-test; the previous one is back in place" \
            "the reason is above, and in the system log"
    fi
    fail "the self-test failed, so do not put pam_totp into a PAM file yet" \
        "no file in /etc/pam.d was changed: everybody logs in as before"
}

# PAM files that load the hook: without it, they deny everybody.
users_of_the_hook() {
    grep -RlE --exclude='.*' '^[^#]*pam_totp' /etc/pam.d /etc/pam.conf /usr/lib/pam.d 2>/dev/null || true
}

uninstall() {
    if [ -e "$UNCONFIRMED" ]; then
        fail "a change waits for its confirmation, and totpctl is needed to put it back" \
            "run: totpctl revert"
    fi
    users=$(users_of_the_hook)
    if [ -n "$users" ]; then
        fail "still in use by: $(echo "$users" | tr '\n' ' ')" \
            "run: totpctl disable$(echo "$users" | sed 's|.*/| |' | tr -d '\n')" \
            "what is left then was written by hand: without the hook it would deny every login"
    fi
    stop_service
    make --no-print-directory -s uninstall
    [ ! -d /run/systemd/system ] || systemctl daemon-reload
    if [ "$1" = purge ]; then
        rm -rf "$STATE"
        rm -f "$KEY" "$CONFIG"
        echo "removed pam_totp, its store, sealing key and configuration"
    else
        echo "removed pam_totp; kept: $STATE $KEY $CONFIG"
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
if [ "$action" = install ]; then
    install_all
else
    command -v make >/dev/null || install_packages make
    uninstall "$action"
fi

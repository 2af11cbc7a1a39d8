# shellcheck shell=sh
# The steps of install.sh: what it asks of apt and dpkg, and how they are not cut off half-way.
# It reads this file, and knows the names that are not set here.
# shellcheck disable=SC2154

TOOLS=$CACHE/only-to-build # names of packages to purge again
# It never asks: a configuration that somebody has changed stays.
APT="apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold"
# Of what dpkg says where all goes well; what is not known here, such as a warning, is shown.
PROGRESS='^ *(Selecting previously|\(Reading database|Preparing to unpack|Unpacking|Setting up|Removing'
PROGRESS="$PROGRESS|Purging configuration|Processing triggers|Preconfiguring|debconf: delaying|dpkg: warning: downgrading)"
export PAM_TOTP_INSTALLER=yes # the package need not say what comes next
export DEBIAN_FRONTEND=noninteractive APT_LISTCHANGES_FRONTEND=none APT_LISTBUGS_FRONTEND=none
installed=''   # what install_missing has installed
step=''        # process that to_the_end waits for
of_packages='' # not empty: that is apt or dpkg
finishing=''   # not empty: a signal does not end install.sh
signals=0      # how many there were

finish_from_here() {
    finishing=yes
}

# Run a command where no signal to the terminal reaches it, and where it may write though the
# terminal is gone; show what it wrote, and return its status.
to_the_end() {
    rm -f "$scratch/status"
    # shellcheck disable=SC2016 # for the inner shell
    setsid -w sh -c 'status=$1; shift; "$@" >"$status.log" 2>&1; echo $? >"$status"' \
        sh "$scratch/status" "$@" </dev/null &
    step=$!
    while [ ! -s "$scratch/status" ] && kill -0 "$step" 2>/dev/null; do
        wait "$step" || true # a signal ends the waiting, not the command
    done
    step=''
    status=$(cat "$scratch/status" 2>/dev/null) || status=1
    cat "$scratch/status.log" >>"$LOG" || true
    if [ "$status" != 0 ]; then
        cat "$scratch/status.log" >&2 || true
    elif [ -n "$of_packages" ]; then
        grep -vE "$PROGRESS" "$scratch/status.log" 2>/dev/null || true
    else
        cat "$scratch/status.log" 2>/dev/null || true
    fi
    if [ "$signals" -gt 0 ] && [ -z "$finishing" ]; then interrupted; fi
    [ "$status" = 0 ]
}

# The same for apt and dpkg, whose progress only the log has.
packages_to_the_end() {
    of_packages=yes
    if to_the_end "$@"; then ended=0; else ended=1; fi
    of_packages=''
    return "$ended"
}

# Run apt, which a signal ends, with its words in the log; show the last of them if it fails.
quietly() {
    "$@" </dev/null >>"$LOG" 2>&1 && return
    tail -n 40 "$LOG" >&2
    say "all of it is in $LOG" >&2
    return 1
}

# Packages of the list that are not installed.
missing() {
    for package in "$@"; do
        state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
        [ "$state" = installed ] || printf ' %s' "$package"
    done
}

# Install what is missing of $1; $installed says what that was.
install_missing() {
    # shellcheck disable=SC2086 # one word a package
    installed=$(missing $1)
    [ -n "$installed" ] || return 0
    say "installing:$installed"
    update_lists
    # shellcheck disable=SC2086
    quietly $APT install --no-install-recommends $installed ||
        fail "apt-get install failed" \
            "on Ubuntu the packages are in universe: add-apt-repository universe"
}

update_lists() {
    [ -z "${updated:-}" ] || return 0
    quietly apt-get update -q || fail "apt-get update failed" "look at /etc/apt/sources.list.d and the network"
    updated=yes
}

# Install what is missing of $1, having noted every package that comes with it: also the next run
# can purge them, where this one is killed.
install_tools() {
    # shellcheck disable=SC2086
    wanted=$(missing $1)
    [ -n "$wanted" ] || return 0
    update_lists
    # shellcheck disable=SC2086
    $APT --simulate install --no-install-recommends $wanted |
        sed -n 's/^Inst \([^ ]*\) (.*/\1/p' | sort >"$TOOLS" # with [ ] instead: it is there, and older
    install_missing "$1"
}

# Purge what install_tools has noted, unless something else has come to need it.
remove_tools() {
    [ -s "$TOOLS" ] || return 0
    # shellcheck disable=SC2046,SC2086
    set -- $(dpkg-query -W -f '${db:Status-Status} ${binary:Package}\n' $(cat "$TOOLS") 2>/dev/null |
        sed -n '/^not-installed/d; s/^[^ ]* //p')
    others=$($APT --simulate purge "$@" 2>/dev/null | sed -n 's/^\(Purg\|Remv\) \([^ ]*\) .*/\2/p' | sort |
        comm -23 - "$TOOLS" | tr '\n' ' ')
    if [ -n "$others" ]; then
        say "install.sh: warning: kept what was needed to build, as it is needed by: $others" >&2
    elif [ $# -gt 0 ]; then
        say "removing $# packages that were only needed to build"
        # shellcheck disable=SC2086
        packages_to_the_end $APT -qq purge "$@" ||
            say "install.sh: warning: they are still there; run: apt-get purge $*" >&2
    fi
    rm -f "$TOOLS"
}

# dpkg may have been killed, and this script: apt does nothing before that work is finished.
finish_what_was_begun() {
    if [ -n "$(ls -A /var/lib/dpkg/updates)" ]; then
        packages_to_the_end dpkg --force-confold --configure -a || true # apt says what is still wrong
    fi
    for deb in "$NEW" "$PREVIOUS"; do
        if ! is_at_rest && [ -e "$deb" ]; then
            packages_to_the_end dpkg --force-confold --install "$deb" || true
        fi
    done
    # Or it was apt, or dpkg, that was cut off: what is not configured, dpkg removes without prerm.
    is_at_rest || packages_to_the_end dpkg --force-confold --configure libpam-totp || true
    remove_tools
}

# With apt, which would rather remove another package than fail: not here. Apt cannot install again
# what is half configured; dpkg can.
install_package() {
    if is_at_rest; then
        # shellcheck disable=SC2086
        packages_to_the_end $APT -qq --no-remove --no-install-recommends --reinstall --allow-downgrades install "$1"
    else
        packages_to_the_end dpkg --force-confold --install "$1"
    fi
}

remove_package() {
    # shellcheck disable=SC2086
    packages_to_the_end $APT -qq "$1" libpam-totp
}

# Whether dpkg has anything of it: after its removal, what a purge would take.
is_known() {
    [ -n "$(dpkg-query -W -f '${db:Status-Status}' libpam-totp 2>/dev/null | sed '/^not-installed$/d')" ]
}

is_packaged() {
    case $(dpkg-query -W -f '${db:Status-Status}' libpam-totp 2>/dev/null) in
        "" | not-installed | config-files) return 1 ;;
    esac
}

# Whether the package $1 is the one that dpkg has installed.
is_registered() {
    [ -e "$1" ] && is_packaged && dpkg-deb --ctrl-tarfile "$1" | tar -xO ./md5sums >"$scratch/md5sums" &&
        dpkg-query --control-show libpam-totp md5sums | cmp -s - "$scratch/md5sums"
}

# Make the package $1 of what is installed: the way back where its .deb is not at hand, because it
# came from elsewhere, or from "make install" and no package. With a package dpkg can go back to it
# with no moment without the module. Its scripts are its own, or else those of the package just
# built. The configuration stays out: dpkg would take an administrator's words for what was shipped.
# Returns 1 if that fails: "set -e" does not count where the caller asks for the status.
pack_installed() {
    tree=$scratch/tree version=0~unpackaged
    rm -rf "$tree" && install -d -m 0755 "$tree" || return 1
    dpkg-deb --control "$scratch"/built/libpam-totp_*.deb "$tree/DEBIAN" || return 1
    if is_packaged; then
        version=$(dpkg-query -W -f '${Version}' libpam-totp) || return 1
        for part in $(dpkg-query --control-list libpam-totp); do
            cp "$(dpkg-query --control-path libpam-totp "$part")" "$tree/DEBIAN/$part" || return 1
        done
    fi
    rm -f "$tree/DEBIAN/conffiles"
    sed -i "s/^Version:.*/Version: $version/" "$tree/DEBIAN/control" || return 1
    list_installed | grep -v -e /__pycache__ -e ^/etc/ | while IFS= read -r file; do
        if [ -L "$file" ] || [ -f "$file" ]; then printf '%s\n' "${file#/}"; fi
    done >"$scratch/files"
    (cd / && xargs -d '\n' cp -d --preserve=all --parents -t "$tree") <"$scratch/files" || return 1
    (cd "$tree" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | xargs -0 md5sum) \
        >"$tree/DEBIAN/md5sums" || return 1
    dpkg-deb --root-owner-group -Znone --build "$tree" "$1" >/dev/null
}

list_installed() {
    if is_packaged; then
        dpkg-query -L libpam-totp
    else
        find "$LIBRARY" /usr/lib/systemd /usr/lib/*/security /usr/sbin /usr/share \
            \( -path '*pam_totp*' -o -name '*totpctl*' \) 2>/dev/null || true
    fi
}

# Whether dpkg has no work with it that is not finished.
is_at_rest() {
    case $(dpkg-query -W -f '${db:Status-Status}' libpam-totp 2>/dev/null) in
        "" | not-installed | config-files | installed) ;;
        *) return 1 ;;
    esac
}

# Whether all files of the package $1 are in their places.
is_in_place() {
    is_at_rest && dpkg-deb --ctrl-tarfile "$1" | tar -xO ./md5sums >"$scratch/md5sums" &&
        (cd / && md5sum --status -c "$scratch/md5sums")
}

# Files of an installation that was no package, and that the package does not bring.
remove_strays() {
    dpkg-query -L libpam-totp | sed 's|^/lib/|/usr/lib/|' | sort >"$scratch/packaged"
    {
        find "$LIBRARY" "$LIBRARY.previous" "$LIBRARY.new" /usr/share/doc/pam_totp \
            -name __pycache__ -prune -o ! -type d -print 2>/dev/null || true
        find /usr/share/man /usr/share/locale /usr/lib/systemd \( -name '*pam_totp*' -o -name 'totpctl*' \) ! -type d
    } | sort | comm -23 - "$scratch/packaged" | tr '\n' '\0' | xargs -0r rm -f
    rm -rf "$LIBRARY.previous" "$LIBRARY.new"
    find /usr/share/doc/pam_totp -depth -type d -empty -delete 2>/dev/null || true
}

# Without systemd, or before it listens, pam_totp.so starts a worker for each login.
start_service() {
    [ -d /run/systemd/system ] || return 0
    systemctl daemon-reload || true
    stop_service
    for socket in pam_totp.socket pam_totp-me.socket; do
        if systemctl is-enabled -q "$socket"; then systemctl start "$socket" || true; fi
    done
}

stop_service() {
    [ -d /run/systemd/system ] || return 0
    systemctl stop pam_totp.socket pam_totp-worker.socket pam_totp-me.socket pam_totp.service || true
}

#!/bin/sh
# pack_installed.sh OUTPUT: make a Debian package of the pam_totp that is installed on this machine.
#
# For install.sh: the way back, where what is installed came from elsewhere and its .deb is not at
# hand; or came from `make install`, and from no package at all. The configuration stays out of it:
# dpkg would take what an administrator has written for what was shipped, and once replace it.
set -eu

NAME=libpam-totp
LIBRARY=/usr/lib/pam_totp
CONFIG=/etc/security/pam_totp.conf
UNPACKAGED_VERSION=0~unpackaged # older than every release

cd "$(dirname "$0")"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
control=$scratch/tree/DEBIAN
install -d -m 0755 "$scratch/tree" "$control"

is_packaged() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$NAME" 2>/dev/null)" = installed ]
}

# Every file, with its path from / on; bytecode is made again.
list_files() {
    if is_packaged; then
        dpkg-query -L "$NAME" | grep -vFx "$CONFIG"
    else
        find "$LIBRARY" /usr/share/doc/pam_totp /usr/sbin/totpctl 2>/dev/null || true
        find /usr/lib/systemd /usr/share/man -name '*pam_totp*' -o -name 'totpctl*'
        find /usr/share/bash-completion /usr/share/zsh /usr/share/fish \( -name totpctl -o -name _totpctl \
            -o -name totpctl.fish \) 2>/dev/null || true
        find /usr/lib -path '*/security/pam_totp.so'
    fi | grep -v /__pycache__ | while read -r path; do
        if [ -L "$path" ] || [ -f "$path" ]; then printf '%s\n' "${path#/}"; fi
    done
}

describe() {
    if is_packaged; then
        dpkg-query -s "$NAME" | sed '/^Status:/d; /^Config-Version:/d; /^Conffiles:/,/^[^ ]/{/^Conffiles:/d; /^ /d}'
        return
    fi
    cat <<END
Package: $NAME
Version: $UNPACKAGED_VERSION
Architecture: $(dpkg --print-architecture)
Maintainer: root <root@localhost>
Description: pam_totp as it was installed without a package
END
}

copy_scripts() {
    for script in preinst postinst prerm postrm config templates triggers; do
        if path=$(dpkg-query --control-path "$NAME" "$script" 2>/dev/null) && [ -n "$path" ]; then
            cp -p "$path" "$control/$script"
        fi
    done
}

# As debian/rules does, without what debhelper would add.
fill_in() {
    sed -e '/^#DEBHELPER#$/d' -e '/^#PAM_FILES#$/{' -e 'r ../pam_files.sh' -e 'd' -e '}' "$1" >"$scratch/script"
    if grep -n '^#[A-Z_]*#$' "$scratch/script" >&2; then return 1; fi
    cat "$scratch/script"
}

# What is in no package has no scripts: it is compiled and started like the package, and refuses
# to be removed like the package.
write_scripts() {
    cat >"$control/postinst" <<END
#!/bin/sh
set -e
/usr/bin/python3 -I -m compileall -q $LIBRARY/pam_totp $LIBRARY/admin_cli || true
[ ! -d /run/systemd/system ] || systemctl enable -q --now pam_totp.socket pam_totp-doctor.timer || true
END
    { fill_in ../debian/$NAME.prerm && cat <<END; } >"$control/prerm"
if [ "\$1" = remove ] && [ -d /run/systemd/system ]; then
    systemctl disable -q --now pam_totp.socket pam_totp-worker.socket pam_totp.service pam_totp-doctor.timer || true
fi
find $LIBRARY -name __pycache__ -prune -exec rm -rf {} +
END
    chmod 0755 "$control"/*
}

list_files >"$scratch/files"
tar --create --directory=/ --no-recursion --files-from="$scratch/files" |
    tar --extract --directory="$scratch/tree"
describe >"$control/control"
if is_packaged; then copy_scripts; else write_scripts; fi
(cd "$scratch/tree" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | xargs -0 md5sum) \
    >"$control/md5sums"
dpkg-deb --root-owner-group -Znone --build "$scratch/tree" "$1" >/dev/null

"""Programs with one field for password and code: how they are set up, and how somebody logs in."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support.machine import Machine

LOCALHOST = "127.0.0.1"
VSFTPD_CONF = """
listen=YES
listen_address=127.0.0.1
local_enable=YES
anonymous_enable=NO
pam_service_name=vsftpd
delay_failed_login=0
secure_chroot_dir=/run/vsftpd/empty
background=NO
seccomp_sandbox=NO
"""
DOVECOT_CONF = """
protocols = imap
ssl = no
disable_plaintext_auth = no
listen = 127.0.0.1
auth_failure_delay = 0
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
auth_cache_size = 10M
auth_cache_ttl = 8 hours
passdb {
  driver = pam
  args = cache_key=%u%r%s dovecot
}
userdb {
  driver = passwd
}
mail_location = maildir:~/Maildir
log_path = /tmp/dovecot.log
"""
DOVECOT_2_4_CONF = """
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
protocols = imap
ssl = no
auth_allow_cleartext = yes
listen = 127.0.0.1
auth_failure_delay = 0
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
auth_cache_size = 10M
auth_cache_ttl = 8 hours
passdb pam {
  fields {
    cached_for = %{protocol} %{remote_ip}
  }
}
userdb passwd {
}
mail_driver = maildir
mail_path = ~/Maildir
log_path = /tmp/dovecot.log
"""
OPENVPN_CONF = """
dev tun
server 10.8.0.0 255.255.255.0
dh none
ca /tmp/server.crt
cert /tmp/server.crt
key /tmp/server.key
verify-client-cert none
username-as-common-name
auth-gen-token 3600 120
reneg-sec 2
plugin /tmp/auth-pam.so openvpn
verb 3
"""
_CLIENT = (
    "openvpn --client --dev null --remote {host} --nobind --ca /tmp/server.crt --resolv-retry 0 "
    "--connect-retry-max 1 --auth-user-pass {answer} --ifconfig-noexec --route-noexec --verb 3"
)
RADIUS_SECRET = "secret of the client"
RADIUS_CONF = f"""
libdir = /usr/lib/freeradius
security {{
    user = root
    group = root
}}
client localhost {{
    ipaddr = 127.0.0.1
    secret = "{RADIUS_SECRET}"
}}
modules {{
    pam {{
        pam_auth = radiusd
    }}
}}
server default {{
    listen {{
        type = auth
        ipaddr = 127.0.0.1
        port = 1812
    }}
    authorize {{
        update control {{
            Auth-Type := PAM
        }}
    }}
    authenticate {{
        Auth-Type PAM {{
            pam
        }}
    }}
}}
"""
# Logs in with each of the answers at once, and prints what came of each, in order.
LOG_IN = """
import concurrent.futures, ftplib, imaplib, socket, sys
kind, source, user, *answers = sys.argv[1:]
connect = socket.create_connection
def connect_from_source(address, *_, **__):
    return connect(address, 30, (source, 0))
socket.create_connection = connect_from_source
def log_in(answer):
    try:
        if kind == "ftp":
            return ftplib.FTP("127.0.0.1").login(user, answer)[:3]
        imap = imaplib.IMAP4("127.0.0.1")
        return imap.login(user, answer)[0]
    except (ftplib.Error, imaplib.IMAP4.error) as error:
        return str(error)
with concurrent.futures.ThreadPoolExecutor() as together:
    print(*together.map(log_in, answers), sep="\\n")
"""


def log_in(
    machine: Machine, kind: str, *answers: str, user: str = "alice", source: str = LOCALHOST
) -> list[str]:
    """Log in with each answer, and return what the server says: ``kind`` is ftp or imap.

    ``source``: the address of this machine that they come from.
    """
    done = machine.run("/usr/bin/python3", "-c", LOG_IN, kind, source, user, *answers)
    return done.stdout.splitlines()


def start(machine: Machine, command: str, *, until: str) -> None:
    """Start a server, and wait until it answers."""
    machine.run("sh", "-c", f"{command} >>/tmp/server.log 2>&1 &")
    script = f"n=0; until {until}; do n=$((n + 1)); [ $n -lt 200 ]; sleep 0.1; done"
    done = machine.run("sh", "-ec", script, check=False)
    assert 0 == done.returncode, machine.read("/tmp/server.log")


def listens(port: int) -> str:
    """Return a command that succeeds once something listens on a TCP port of this machine."""
    return f"grep -q ' 0100007F:{port:04X} 00000000:0000 0A ' /proc/net/tcp"


def start_vsftpd(machine: Machine) -> None:
    machine.write("/etc/vsftpd.conf", VSFTPD_CONF)
    machine.run("install", "-d", "/run/vsftpd/empty")
    start(machine, "vsftpd", until=listens(21))


def start_dovecot(machine: Machine) -> None:
    is_old = machine.run("dovecot", "--version").stdout.startswith("2.3")
    machine.write("/etc/dovecot/dovecot.conf", DOVECOT_CONF if is_old else DOVECOT_2_4_CONF)
    start(machine, "dovecot", until=listens(143))


def has_tun(machine: Machine) -> bool:
    """Return whether OpenVPN can run: this kernel has what it needs."""
    machine.run("sh", "-c", "mkdir -p /dev/net; mknod /dev/net/tun c 10 200")
    return machine.run("sh", "-c", ": </dev/net/tun", check=False).returncode == 0


def start_openvpn(machine: Machine) -> None:
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650"
    files = "-keyout /tmp/server.key -out /tmp/server.crt -subj /CN=server"
    machine.run("sh", "-c", f"{make} {files} 2>/dev/null")
    machine.run("ln", "-s", "/usr/lib/openvpn/openvpn-plugin-auth-pam.so", "/tmp/auth-pam.so")
    machine.write("/tmp/server.conf", OPENVPN_CONF)
    started = "Initialization Sequence Completed"
    start(machine, "openvpn /tmp/server.conf", until=f"grep -q '{started}' /tmp/server.log")


def openvpn_client(answer: str, host: str = LOCALHOST) -> str:
    """Return the command that connects to it with what the file ``answer`` says."""
    return _CLIENT.format(answer=answer, host=host)


def unpack_packages(machine: Machine, folder: Path, *names: str) -> None:
    """Unpack Debian's packages ``names``, and those that they need; fetch them into ``folder``."""
    apt = ("apt-get", "-qq", "-y", "--no-install-recommends", "--download-only", "install")
    (folder / "partial").mkdir()
    at = f"Dir::Cache::archives={folder}"
    subprocess.run([*apt, "-o", at, *names], check=True, capture_output=True)
    for each in folder.glob("*.deb"):
        subprocess.run(["dpkg", "-x", each, folder / "files"], check=True)
    pack = ["tar", "-C", folder / "files", "-c", "."]
    content = subprocess.run(pack, check=True, capture_output=True).stdout
    machine.run("tar", "-C", "/", "--keep-directory-symlink", "-x", typed=content)
    machine.run("ldconfig")


def start_xrdp(machine: Machine) -> None:
    """Start what asks PAM; the sessions that it opens end at once, as there is no X server.

    Without syslog: it says more there than a test reads, and would wait.
    """
    machine.run("install", "-d", "/run/xrdp")
    machine.run("sed", "-i", "s/^EnableSyslog=.*/EnableSyslog=false/", "/etc/xrdp/sesman.ini")
    ready = "grep -q 'starting xrdp-sesman' /var/log/xrdp-sesman.log"
    start(machine, "xrdp-sesman -n", until=ready)


def start_radius(machine: Machine) -> None:
    machine.write("/etc/raddb/radiusd.conf", RADIUS_CONF)
    machine.run("cp", "/etc/freeradius/3.0/dictionary", "/etc/raddb/")
    ready = "grep -q 'Ready to process requests' /tmp/server.log"
    start(machine, "freeradius -d /etc/raddb -X", until=ready)

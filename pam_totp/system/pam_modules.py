"""PAM modules by what their success says, where the configuration has to know it, too."""

from __future__ import annotations

# Whose success says that the person knows the password.
PASSWORD_MODULES = frozenset(
    {
        "pam_unix.so",
        "pam_unix2.so",
        "pam_tcb.so",
        "pam_pwdb.so",
        "pam_sss.so",
        "pam_ldap.so",
        "pam_krb5.so",
        "pam_winbind.so",
        "pam_systemd_home.so",
        "pam_radius_auth.so",
        "pam_tacplus.so",
        "pam_userdb.so",
        "pam_pwdfile.so",
        "pam_mysql.so",
        "pam_pgsql.so",
        "pam_lsass.so",
        "pam_vas3.so",
        "pam_centrifydc.so",
        "pam_kanidm.so",
        "pam_himmelblau.so",
    }
)
# These know no factor, or one that the session has already.
NO_FACTORS = frozenset(
    {
        "pam_access.so",
        "pam_cap.so",
        "pam_debug.so",
        "pam_deny.so",
        "pam_echo.so",
        "pam_ecryptfs.so",
        "pam_env.so",
        "pam_exec.so",
        "pam_faildelay.so",
        "pam_faillock.so",
        "pam_ftp.so",
        "pam_gnome_keyring.so",
        "pam_group.so",
        "pam_issue.so",
        "pam_kwallet5.so",
        "pam_listfile.so",
        "pam_localuser.so",
        "pam_mount.so",
        "pam_nologin.so",
        "pam_permit.so",
        "pam_python.so",
        "pam_rhosts.so",
        "pam_rootok.so",
        "pam_script.so",
        "pam_securetty.so",
        "pam_shells.so",
        "pam_ssh.so",
        "pam_ssh_agent_auth.so",
        "pam_succeed_if.so",
        "pam_tally2.so",
        "pam_time.so",
        "pam_timestamp.so",
        "pam_totp.so",
        "pam_usertype.so",
        "pam_warn.so",
        "pam_wheel.so",
    }
)
# Whose success says nothing of a second factor: they let people in by the password that was typed
# before, by what the caller is, or whatever happens. None can stand in the place of a code.
NO_SECOND_FACTORS = PASSWORD_MODULES | NO_FACTORS

"""Who can get in without totpctl's help: accounts, passwords, keys, sudo.

becoming_root.py  who can become root: the one judgement of enable and doctor
shut_out.py       who would be denied once codes are asked for
birth.py          when a file was made
directory.py      people and groups, by files and a directory that may hang
accounts.py       who has a shell, a password, keys
programs.py       programs that cannot ask for a code
sudoers.py        whom sudo lets become root
"""

"""Judge which users can log in, and which can become root: by accounts, passwords, keys and sudo.

becoming_root.py  administrators who can certainly still become root, for enable and doctor
shut_out.py       users who would be denied once a service asks for codes
"""

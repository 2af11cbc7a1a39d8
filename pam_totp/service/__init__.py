"""Logins that come over a socket from pam_totp.so.

program.py        the program: what it is started with, and its ends
listening.py      the socket that it listens on
server.py         serves many logins at once, each on a thread
worker.py         serves one login, if its caller may ask
wire.py           the packets between module and worker
connection.py     drives one login over its socket
prompts.py        how many logins of one user may wait
control_group.py  out of reach of a caller who freezes their own programs
sandbox.py        whether the unit allows writing the store and shows the key and name services
"""

"""Logins that come over a socket from pam_totp.so.

program.py         the program: what it is started with, and its ends
worker.py          serves one login, if its caller may ask
wire.py            the packets between module and worker
connection.py      what the packets of one login mean; drives one by waiting for each
control_group.py   out of reach of a caller who freezes their own programs
sandbox.py         whether the unit allows writing the store and shows the key and name services

People who help themselves, one at a time, apart from logins:

own_service.py     serves one totpctl me
own_caller.py      whose process it is, and from where
own_wire.py        the packets between the two

And many logins at once:

listening.py       the socket that it listens on
server.py          the life of the service; looks on whether a disk holds the loop up
loop.py            one thread that drives all logins, in rounds, and waits for none of them
batch.py           judges the answers that came together in one transaction
kept.py            configurations, keys and stores that stay open, and when they are trusted
kept_fleet.py      the connections to a fleet's database, and the helpers who ask it
kept_driver.py     performs the steps of one login with what is kept
local_accounts.py  which accounts need no directory
helpers.py         threads for what may take long, so many and no more
deadlines.py       who has waited too long
crowd.py           how many connections there may be
prompts.py         how many logins of one user may wait
log.py             gives lines to the logger, and never waits for it
"""

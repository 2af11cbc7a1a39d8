"""fleet: many hosts, one store in a PostgreSQL database.

group.py          the group, and the list of its commands
init.py           init, migrate: options
init_database.py  what they do
add.py            add, remove, list
token.py          what add prints and join reads
join.py           join
join_host.py      what it does
policy.py         policy
allow.py          allow, import: options
import_store.py   what import does
rotate_key.py     rotate-key, prune, after-restore, refresh
refresh_kit.py    what refresh does
demo.py           demo: options
demo_server.py    what it does
administrator.py  where the fleet is, and who administers it, as this machine has it
connecting.py     a connection to its database, and what goes wrong on it, in words
"""

"""fleet: many hosts, one store in a PostgreSQL database.

group.py       the group, and the list of its commands
founding.py    init, migrate: options
hosts.py       add, remove, list
joining.py     join
policy.py      policy
people.py      allow, import: options
upkeep.py      rotate-key, prune, after-restore, refresh
demo.py        demo: options
token.py       what add prints and join reads
identity.py    the files that say who a host or an administrator is, and the CA's certificate
access.py      the database as an administrator reaches it
"""

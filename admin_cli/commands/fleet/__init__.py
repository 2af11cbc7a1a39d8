"""fleet: many hosts, one store in a PostgreSQL database.

group.py       the group, and the list of its commands
founding.py    init, migrate: options
hosts.py       add, remove, list
joining.py     join
policy.py      policy
people.py      allow, import: options
upkeep.py      rotate-key, prune, after-restore, refresh
demo.py        demo: options
foundation.py  what init and migrate do
membership.py  what join does
taking_along.py  what import does
playground.py  what demo does
renewal.py     what refresh does
token.py       what add prints and join reads
access.py      where the fleet is, and who administers it, as this machine has it
connecting.py  a connection to its database, and what goes wrong on it, in words
"""

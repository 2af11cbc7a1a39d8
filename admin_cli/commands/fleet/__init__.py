"""fleet: many hosts, one store in a PostgreSQL database.

A file a command; what a longer one does has a file of its own, which is loaded when it runs.

group.py          the group, and the list of its commands
init.py           init
init_database.py  what it does
migrate.py        migrate
add.py            add
token.py          what it prints, and join reads
join.py           join
join_host.py      what it does
remove.py         remove
list.py           list
policy.py         policy
allow.py          allow
import_people.py  import
import_store.py   what it does
rotate_key.py     rotate-key
prune.py          prune
after_restore.py  after-restore
refresh.py        refresh
refresh_kit.py    what it does
demo.py           demo
demo_server.py    what it does
host_names.py     names of hosts and of their groups, as commands take them
administrator.py  where the fleet is, and who administers it, as this machine has it
superuser.py      the role that prepares the database, as init and migrate take it
"""

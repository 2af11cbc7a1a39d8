"""PostgreSQL as the store of many hosts: the database itself judges, and no host sees a secret.

host_store.py   a login's questions, as a host asks them
answers.py      what the database answers, checked
client.py       connections to the server that writes, and asking again, by a deadline
connection.py   one session with one server, in which nothing waits beyond a deadline
name_lookup.py  a server's addresses, by a deadline
environment.py  libpq beside an environment that is somebody else's
failures.py     what a failure means: ask again, go offline, or give up
offline.py      a store that its host may stand in for while no server can be reached
kept_kit.py     the kit of this host, opened when it is needed, and who is to be in it
kit.py          the kit: a SQLite store of the codes of the next hours, and what is to be reported
codes_ahead.py  those codes, in place of secrets
migrations.py   makes and updates the schema, from the files in sql/
admin_store.py  AdminStore, which hands out records to administrators
admin_connection.py  an administrator's connection: transactions, statements and errors
opening.py      opens one, where the schema is that of this release
transactions.py  the critical section of one user
joint.py        that of several users, in as many statements as for one
many_rows.py    the rows of many records, in one statement a table
rows.py         how records are read, and from which columns
administration.py  what administrators do beyond people's records
importing.py    records of another store become the fleet's

sql/roles.sql           the cluster's roles
sql/database.sql        what a superuser prepares: schemas, pgcrypto, and what nobody else may do
sql/tables.sql          the tables
sql/sealing.sql         authenticated encryption of secrets and keys
sql/codes.sql           codes, steps and waits, as core/ has them
sql/hosts.sql           what every host function begins with; decoys; what hosts are told
sql/verify.sql          the critical section, as the verifier of core/ has it
sql/login.sql           the other questions of a login; how a host joins
sql/administration.sql  administrators' functions: whatever needs the data key
sql/offline.sql         what a host is given for an outage, and what it reports after one
sql/rights.sql          rights, and what the help desk may change
"""

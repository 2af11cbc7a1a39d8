"""A store in one SQLite file.

store.py          SQLiteStore, the face of it
questions.py      the questions of a login, answered
opening.py        open a file: checked, in the schema of this release, with room for logins
creation.py       a new file that appears whole or not at all
database.py       one connection: statements, errors, durability
transactions.py   the critical section of one user
batch.py          several critical sections in one transaction
joint.py          the critical section of several users
reading.py        what it holds of a name, by one statement
rows.py           which rows are sound, and what of a record goes into which
sealed.py         a file with the key that opens its secrets
resealing.py      every secret sealed again, with another key
schema.py         tables and migrations
lasting_files.py  the file and its log: which descriptors, which modes, which owner
reserve.py        free pages set aside, so that a full disk denies nobody
names.py          names and labels for completion: changes nothing, waits for nobody
"""

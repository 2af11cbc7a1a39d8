"""enroll --from, enroll --group: many people at once, with a sheet to hand out for each.

options.py       the options
carrying_out.py  what it does, in order
roster.py        whom a file or a group names
plan.py          who of them is new, with everything checked
enrolling.py     the pipeline: codes are hashed, sheets written, records committed
sheets.py        what stands on a sheet
sheet_files.py   the files of one
pdf.py           one as a page of PDF
sheet_folder.py  the folder that they lie in
report.py        what is said of it
"""

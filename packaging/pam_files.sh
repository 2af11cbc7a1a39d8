# shellcheck shell=sh
# Which PAM files name the module: put into the scripts of the packages, which run when nothing else
# of the package may be left. POSIX sh with find, awk and sort; no percent sign, which rpm would take.

pam_files() {
    find -L /etc/pam.d /etc/pam.conf /usr/lib/pam.d -type f ! -name '.*' \
        ! -name '*.dpkg-*' ! -name '*.ucf-*' ! -name '*.rpm*' ! -name '*~' 2>/dev/null || true
}

# Files elsewhere, which PAM files include by a path, and those that these include.
included_files() {
    known=
    found=$(pam_files | paths_included)
    while [ "$found" != "$known" ]; do
        known=$found
        found=$({ pam_files && printf '%s\n' "$known"; } | paths_included)
    done
    printf '%s\n' "$known"
}

# By the files that standard input names: pam.conf(5), with lines that go on, brackets and any case.
paths_included() {
    while IFS= read -r file; do
        [ -f "$file" ] || continue
        awk '{
            sub(/#.*/, "")
            while (/\\$/ && (getline more) > 0) $0 = substr($0, 1, length($0) - 1) " " more
            gsub(/[][]/, " ")
            for (i = 1; i < NF; i++)
                if (tolower($i) ~ /^(@include|include|substack)$/ && $(i + 1) ~ /\//)
                    print $(i + 1) ~ /^\// ? $(i + 1) : "/etc/pam.d/" $(i + 1)
        }' "$file"
    done | sort -u
}

# Files that name the module or the hook outside of comments; with an argument, not counting the
# line that pam-auth-update has made of our profile.
files_that_name_it() {
    { pam_files && included_files; } |
        while IFS= read -r file; do
            [ -f "$file" ] || continue
            awk -v file="$file" -v but_for_the_profile="${1:-}" '
                /^# here are the per-package modules/ { inside = file ~ /^\/etc\/pam\.d\/common-/ }
                /^# end of pam-auth-update config/ { inside = 0 }
                /^[^#]*pam_totp/ {
                    if (but_for_the_profile && inside &&
                        /^auth[ \t]+required[ \t]+pam_totp\.so[ \t]*$/) next
                    print file
                    exit
                }' "$file"
        done | sort -u
}

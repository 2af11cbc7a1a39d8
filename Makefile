# make install DESTDIR= PREFIX=/usr     the one list of what is installed, and where
# make native BUILD=build               pam_totp.so alone
# make deb                              the Debian package, in dist/
# make rpm                              the RPM packages, in dist/
# make release VERSION=1.2.3            packages, source archive, checksums and tag, see CONTRIBUTING.md
# make docs                             what the pages take from the code, written again
# make po                               the sentences for translators, and what is made of translations
# make pictures                         the screens in docs/pictures, recorded anew; root
# make check                            lint, unit and contract tests: what to run while you write
# make format                           have ruff format the code
# make lint | test | bench              see CONTRIBUTING.md
# make help                             this

DESTDIR =
PREFIX = /usr
SYSCONFDIR = /etc
PYTHON = /usr/bin/python3
# no: for packages whose tools compile on the machine that installs them, for its own Python.
BYTECODE = yes
LIBDIR = $(DESTDIR)$(PREFIX)/lib/pam_totp
DOCDIR = $(DESTDIR)$(PREFIX)/share/doc/pam_totp
MAN8DIR = $(DESTDIR)$(PREFIX)/share/man/man8
MAN5DIR = $(DESTDIR)$(PREFIX)/share/man/man5
BASHDIR = $(DESTDIR)$(PREFIX)/share/bash-completion/completions
ZSHDIR = $(DESTDIR)$(PREFIX)/share/zsh/vendor-completions
FISHDIR = $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
FILTER = $(DESTDIR)$(SYSCONFDIR)/fail2ban/filter.d/pam_totp.conf
LOCALEDIR = $(DESTDIR)$(PREFIX)/share/locale
UNITDIR = $(DESTDIR)$(PREFIX)/lib/systemd/system
PRESETDIR = $(DESTDIR)$(PREFIX)/lib/systemd/system-preset
CONFIG = $(DESTDIR)$(SYSCONFDIR)/security/pam_totp.conf

# Beside the modules that are there: /usr/lib/<triplet>/security on Debian, lib64 on Fedora.
PAM_UNIX = $(firstword $(wildcard $(addprefix $(PREFIX)/,lib/*/security/pam_unix.so \
    lib64/security/pam_unix.so lib/security/pam_unix.so)))
PAMDIR = $(patsubst %/,%,$(dir $(PAM_UNIX)))

# People without root have no sbin in their PATH, but where the two are one folder.
SBIN_IS_BIN = [ $(DESTDIR)$(PREFIX)/bin -ef $(DESTDIR)$(PREFIX)/sbin ]

BUILD = build
MODULE = $(BUILD)/pam_totp.so
CODE = $(patsubst %/,%,$(sort $(dir $(wildcard pam_totp/*.py pam_totp/*/*.py pam_totp/*/*/*.py \
    admin_cli/*.py admin_cli/*/*.py admin_cli/*/*/*.py))))
SQL = pam_totp/store/postgresql/sql
SOURCES = $(wildcard pam_totp/native/*.c)
LANGUAGES = $(patsubst pam_totp/po/%.po,%,$(wildcard pam_totp/po/*.po))
CFLAGS = -O2
# Unless the distribution's own flags, in CPPFLAGS, say how.
FORTIFY = $(if $(findstring FORTIFY_SOURCE,$(CPPFLAGS)$(CFLAGS)),,-D_FORTIFY_SOURCE=2)
HARDENING = -fPIC -fvisibility=hidden -fstack-protector-strong $(FORTIFY) \
    -Wl,-z,relro,-z,now,-z,defs,-z,noexecstack
WARNINGS = -Wall -Wextra -Werror

.PHONY: help install uninstall native deb rpm release docs po pictures check format lint test bench

native: $(BUILD)/pam_totp.so

$(BUILD)/pam_totp.so: $(SOURCES) $(wildcard pam_totp/native/*.h)
	mkdir -p $(BUILD)
	$(CC) -std=gnu11 -D_GNU_SOURCE $(HARDENING) $(CPPFLAGS) $(CFLAGS) $(WARNINGS) -shared \
	    -o $@ $(SOURCES) $(LDFLAGS) -lpam

# A new tree is made beside the old one and then takes its place: logins go on all the while.
install: $(MODULE)
	@command -v msgfmt >/dev/null || { echo "make install: error: msgfmt is missing" >&2; \
	    echo "hint: run: apt-get install gettext" >&2; exit 1; }
	rm -rf $(LIBDIR).new
	for folder in $(CODE); do \
	    install -d -m 0755 $(LIBDIR).new/$$folder && \
	    install -m 0644 $$folder/*.py $(LIBDIR).new/$$folder/ || exit 1; done
	install -d -m 0755 $(LIBDIR).new/$(SQL)
	install -m 0644 $(SQL)/*.sql $(LIBDIR).new/$(SQL)/
	ln -s pam_totp/hook.py $(LIBDIR).new/hook.py
	install -m 0755 packaging/worker packaging/picture $(LIBDIR).new/
	if [ "$(BYTECODE)" = yes ]; then \
	    $(PYTHON) -I -m compileall -q -s $(LIBDIR).new -p $(PREFIX)/lib/pam_totp \
	        $(LIBDIR).new/pam_totp $(LIBDIR).new/admin_cli || exit 1; fi
	$(PYTHON) -I packaging/put_in_place.py $(LIBDIR).new $(LIBDIR)
	install -d -m 0755 $(DESTDIR)$(PAMDIR) $(UNITDIR) $(PRESETDIR)
	install -m 0644 $(MODULE) $(DESTDIR)$(PAMDIR)/.pam_totp.so.new
	mv -f $(DESTDIR)$(PAMDIR)/.pam_totp.so.new $(DESTDIR)$(PAMDIR)/pam_totp.so
	install -m 0644 packaging/systemd/* $(UNITDIR)/
	install -m 0644 packaging/systemd-preset/* $(PRESETDIR)/
	install -d -m 0755 $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(SYSCONFDIR)/security
	install -m 0755 packaging/totpctl $(DESTDIR)$(PREFIX)/sbin/totpctl
	install -d -m 0755 $(DESTDIR)$(PREFIX)/bin
	$(SBIN_IS_BIN) || ln -sfn ../sbin/totpctl $(DESTDIR)$(PREFIX)/bin/totpctl
	if [ ! -e $(CONFIG) ]; then install -m 0644 packaging/pam_totp.conf $(CONFIG); fi
	install -d -m 0755 $(MAN8DIR) $(MAN5DIR) $(DOCDIR)/examples/pam.d $(DOCDIR)/examples/sshd_config.d
	install -m 0644 docs/man/*.8 $(MAN8DIR)/
	install -m 0644 docs/man/*.5 $(MAN5DIR)/
	for language in $(LANGUAGES); do \
	    catalog=$(LOCALEDIR)/$$language/LC_MESSAGES/pam_totp.mo && \
	    install -d -m 0755 $${catalog%/*} && \
	    msgfmt --check-format --check-domain --output-file=$$catalog.new pam_totp/po/$$language.po && \
	    chmod 0644 $$catalog.new && mv -f $$catalog.new $$catalog || exit 1; done
	install -d -m 0755 $(BASHDIR) $(ZSHDIR) $(FISHDIR) $(dir $(FILTER))
	install -m 0644 packaging/completions/totpctl.bash $(BASHDIR)/totpctl
	install -m 0644 packaging/completions/_totpctl $(ZSHDIR)/
	install -m 0644 packaging/completions/totpctl.fish $(FISHDIR)/
	if [ ! -e $(FILTER) ]; then install -m 0644 packaging/fail2ban/pam_totp.conf $(FILTER); fi
	install -m 0644 README.md CHANGELOG.md SECURITY.md LICENSE $(DOCDIR)/
	for folder in . tutorial howto reference explanation internals; do \
	    install -d -m 0755 $(DOCDIR)/docs/$$folder && \
	    install -m 0644 docs/$$folder/*.md $(DOCDIR)/docs/$$folder/ || exit 1; done
	install -d -m 0755 $(DOCDIR)/docs/pictures
	install -m 0644 docs/pictures/*.svg $(DOCDIR)/docs/pictures/
	install -m 0644 packaging/pam.d/* $(DOCDIR)/examples/pam.d/
	install -m 0644 packaging/sshd_config.d/* $(DOCDIR)/examples/sshd_config.d/

# Key, store and configuration, and the filter of fail2ban, stay.
uninstall:
	rm -rf $(LIBDIR) $(LIBDIR).new $(LIBDIR).previous $(DOCDIR)
	$(SBIN_IS_BIN) || rm -f $(DESTDIR)$(PREFIX)/bin/totpctl
	rm -f $(DESTDIR)$(PREFIX)/sbin/totpctl $(DESTDIR)$(PAMDIR)/pam_totp.so
	rm -f $(BASHDIR)/totpctl $(ZSHDIR)/_totpctl $(FISHDIR)/totpctl.fish
	for unit in packaging/systemd/*; do rm -f $(UNITDIR)/$${unit##*/}; done
	rm -f $(LOCALEDIR)/*/LC_MESSAGES/pam_totp.mo
	rm -f $(PRESETDIR)/80-pam_totp.preset
	for page in docs/man/*.8; do rm -f $(MAN8DIR)/$${page##*/}; done
	for page in docs/man/*.5; do rm -f $(MAN5DIR)/$${page##*/}; done

deb:
	packaging/build_deb.sh dist

rpm:
	packaging/build_rpm.sh dist

release:
	packaging/release.sh $(VERSION)

docs:
	$(PYTHON) -B docs/generate.py

po:
	$(PYTHON) -B packaging/translations.py

pictures:
	$(PYTHON) -B -m tests.pictures

help:
	@sed -n 's/^# make /make /p' Makefile

check:
	./tests/run check

format:
	./tests/run format

lint:
	./tests/run lint

test:
	./tests/run

bench:
	./tests/run bench

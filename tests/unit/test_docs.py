"""The pages agree with the code: neither says what the other does not."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import click
import pytest

from admin_cli import ui
from admin_cli.main import totpctl
from pam_totp import audit, config, login, verifier
from pam_totp.store.schema import MIGRATIONS
from pam_totp.store.transactions import DECOY_BUCKETS
from tests.support.place import ROOT
from tests.unit.pages import (
    DOCS,
    PAGES,
    codes,
    first_column,
    man_items,
    man_section,
    read,
    rows,
    section,
)

PACKAGED = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("pam.d", "sshd_config.d")
    for path in (ROOT / "packaging" / folder).iterdir()
)
# What a PAM line may carry besides the keys of the configuration.
ARGUMENTS = {"nullok", "debug", "config=", "first_factor=key"}
COMMANDS = dict(sorted(totpctl.commands.items()))
NATIVE, PAM_PYTHON, HOOK = "pam_totp.so", "pam_python.so", "/usr/lib/pam_totp/hook.py"


def written(value: object) -> str:
    """Return a default as a configuration file writes it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return " ".join(value)
    text = str(value)
    return f'"{text}"' if text != text.strip() else text


DEFAULTS = {key: written(value) for key, value in config.Config._field_defaults.items()}
DEFAULTS["unenrolled_until"] = "none"  # which config reads as 0


# The configuration


def test_reference_lists_every_key_with_its_default() -> None:
    table = rows(section(read("docs/reference/configuration.md"), "## Keys"))
    assert {codes(row[0])[0]: "".join(codes(row[1])) for row in table} == DEFAULTS


def test_man_page_lists_every_key_with_its_default() -> None:
    items = re.findall(
        r"^\.It Cm (\w+) No =(.*)$", man_section("pam_totp.conf.5", "DESCRIPTION"), flags=re.M
    )
    plain = {key: value.strip().removeprefix("Pa ") for key, value in items}
    plain = {k: re.sub(r"^Qq (.*?)\\ \\&$", r'"\1 "', v) for k, v in plain.items()}
    assert plain == DEFAULTS


def test_packaged_configuration_shows_every_default_commented_out() -> None:
    text = read("packaging/pam_totp.conf")
    assert config.parse(text.encode()) == config.Loaded(config.Config(), ())
    commented = re.findall(r"^# (\w+) =(.*)$", text, flags=re.M)
    assert {key: value.strip() for key, value in commented} == DEFAULTS
    active = "".join(f"{key} ={value}\n" for key, value in commented)
    assert config.parse(active.encode()) == config.Loaded(config.Config(), ())


def test_numbers_are_described_with_the_limits_that_hold() -> None:
    for row in rows(section(read("docs/reference/configuration.md"), "## Keys")):
        limits = re.fullmatch(r"(\d+) to (\d+)", row[2])
        if limits is None:
            assert not DEFAULTS[codes(row[0])[0]].isdecimal(), row
            continue
        key, (low, high) = codes(row[0])[0], map(int, limits.groups())
        for value, accepted in ((low, True), (low - 1, False), (high, True), (high + 1, False)):
            bad = [
                p for p in config.parse(f"{key} = {value}".encode()).problems if f"{key} must" in p
            ]
            assert accepted is not bool(bad), f"{key} = {value}"
        described = man_section("pam_totp.conf.5", "DESCRIPTION").split(f".It Cm {key} ")[1]
        assert f"{low} to {high}" in described.split(".It ")[0], key


def test_both_pages_list_every_argument_of_a_pam_line() -> None:
    table = rows(section(read("docs/reference/configuration.md"), "## PAM arguments"))
    assert {codes(row[0])[0] for row in table} == ARGUMENTS
    items = re.findall(
        r"^\.It Cm (\w+)(?: Ns (=) Ns (?:Cm (\w+))?.*)?$",
        man_section("pam_totp.8", "OPTIONS"),
        flags=re.M,
    )
    assert {"".join(parts) for parts in items} == ARGUMENTS


@pytest.mark.parametrize("argument", sorted(ARGUMENTS))
def test_described_argument_is_understood(argument: str) -> None:
    given = argument + "/somewhere" if argument == "config=" else argument
    assert config.parse_arguments([given]).problems == ()
    assert config.parse_arguments([given]) != config.Arguments()


# totpctl


def options(command: click.Command) -> dict[str, str]:
    """Return each option, but for help, with its default; "" where there is none."""
    found = {}
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            default = parameter.default
            shown = isinstance(default, str) and not parameter.is_flag
            found[parameter.opts[0]] = str(default) if shown else ""
    return found


def test_reference_describes_every_command_and_no_other() -> None:
    text = section(read("docs/reference/totpctl.md"), "## Commands")
    assert sorted(re.findall(r"^### (\S+)", text, flags=re.M)) == list(COMMANDS)


def test_man_page_describes_every_command_and_no_other() -> None:
    text = read("docs/man/totpctl.8")
    assert sorted(re.findall(r"^\.Ss (\S+)", text, flags=re.M)) == list(COMMANDS)


def usage(name: str) -> str:
    """Return a command with its arguments, as the help shows them: ``enable SERVICE...``."""
    words = [name]
    for argument in COMMANDS[name].params:
        if isinstance(argument, click.Argument):
            word = str(argument.name).upper() + ("..." if argument.nargs == -1 else "")
            words.append(word if argument.required else f"[{word}]")
    return " ".join(words)


def described_in_man(name: str) -> str:
    heading = usage(name).lower().replace("...", " ...")
    return man_section("totpctl.8", re.escape(heading))


@pytest.mark.parametrize("name", COMMANDS)
def test_reference_describes_every_option_with_its_default(name: str) -> None:
    table = rows(section(read("docs/reference/totpctl.md"), f"### {usage(name)}"))
    described = {codes(row[0])[0]: "".join(codes(row[1])) for row in table}
    assert described == options(COMMANDS[name])


@pytest.mark.parametrize("name", COMMANDS)
def test_man_page_describes_every_option_with_its_default(name: str) -> None:
    text = described_in_man(name)
    described = {}
    for item in text.split("\n.It Fl -")[1:]:
        default = re.search(r"^Default: (\S+)\.$", item, flags=re.M)
        option = "--" + re.split(r"\s", item)[0]
        inherited = re.search(r"^As for\n\.Cm (\w+) \.$", item, flags=re.M)
        same_as = options(COMMANDS[inherited[1]])[option] if inherited else ""
        described[option] = default[1] if default else same_as
    assert described == options(COMMANDS[name])


def test_both_pages_describe_the_global_options() -> None:
    expected = {*options(totpctl), "-h", "--help"}
    reference = section(read("docs/reference/totpctl.md"), "## Global options")
    assert set(first_column(reference)) - {config.DEFAULT_PATH} == expected
    items = re.findall(r"^\.It (Fl .*)$", man_section("totpctl.8", "DESCRIPTION"), flags=re.M)
    described = {f"-{flag}" for item in items for flag in re.findall(r"Fl (-?\w+)", item)}
    assert described == expected


def test_both_pages_list_every_exit_code() -> None:
    in_code = [value for name, value in vars(ui).items() if name.isupper() and type(value) is int]
    expected = [str(code) for code in sorted(in_code)]
    text = section(read("docs/reference/totpctl.md"), "## Exit codes")
    assert [row[0] for row in rows(text)] == expected
    assert (
        re.findall(r"^\.It (\d+)$", man_section("totpctl.8", "EXIT STATUS"), flags=re.M) == expected
    )


# Audit events


def calls() -> list[tuple[str, ast.Call]]:
    """Return every call that may write an event, with the folder of its file."""
    found = []
    for folder in ("pam_totp", "admin_cli"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                name = getattr(getattr(node, "func", None), "attr", "")
                if isinstance(node, ast.Call) and name in ("record", "log", "_log"):
                    found.append((folder, node))
    return found


def emitted_events() -> dict[str, str]:
    """Return each event and its level: literal ones, and the outcomes that a login reports."""
    events = {
        node.args[0].value
        for _, node in calls()
        if node.args and isinstance(node.args[0], ast.Constant)
    }
    events |= set(login._PAM_CODES) - {verifier.PASSWORD}  # reported as malformed
    names = {audit.ERROR: "error", audit.WARNING: "warning", audit.NOTICE: "notice"}
    names |= {audit.INFO: "info", audit.DEBUG: "debug"}
    return {event: names[audit._LEVELS.get(event, audit.INFO)] for event in sorted(events)}


def emitted_fields() -> set[str]:
    fields = {keyword.arg for _, node in calls() for keyword in node.keywords if keyword.arg}
    for node in ast.walk(ast.parse(read("pam_totp/worker.py"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "log_error":
            fields |= {keyword.arg for keyword in node.keywords if keyword.arg}
    report = ast.parse(read("pam_totp/login.py"))
    for node in ast.walk(report):
        if isinstance(node, ast.Subscript) and getattr(node.value, "id", "") == "fields":
            fields.add(ast.literal_eval(node.slice))
        if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "fields":
            fields |= {ast.literal_eval(key) for key in getattr(node.value, "keys", [])}
    return fields | (set(audit.Source._fields) - {"module"}) | {"event"}


def test_every_level_belongs_to_an_event_that_is_emitted() -> None:
    assert set(audit._LEVELS) - set(emitted_events()) == set()


def test_reference_lists_every_event_with_its_level() -> None:
    text = read("docs/reference/audit-events.md")
    table = rows(section(text, "## Events of a login")) + rows(
        section(text, "## Events of totpctl")
    )
    assert {codes(row[0])[0]: row[1] for row in table} == emitted_events()


def test_reference_lists_every_field() -> None:
    text = read("docs/reference/audit-events.md")
    assert set(first_column(section(text, "## Fields"))) == emitted_fields()
    for heading in ("## Events of a login", "## Events of totpctl"):
        for row in rows(section(text, heading)):
            named = set(codes(re.sub(r"\([^)]*\)", "", row[3])))
            assert named <= emitted_fields(), row[0]


def test_events_of_totpctl_stand_in_its_man_page() -> None:
    from_totpctl = {
        node.args[0].value
        for folder, node in calls()
        if folder == "admin_cli" and isinstance(node.args[0], ast.Constant)
    }
    of_totpctl = man_section("totpctl.8", "DIAGNOSTICS").split(":\n.Cm", 1)[1]
    assert set(re.findall(r"^\.Cm (\w+)", ".Cm" + of_totpctl, flags=re.M)) == from_totpctl
    diagnostics = man_section("pam_totp.8", "DIAGNOSTICS")
    of_a_login, others = diagnostics.split(".Xr totpctl 8\n")
    assert set(re.findall(r"^\.Cm (\w+)", others, flags=re.M)) == from_totpctl
    events = set(emitted_events()) - from_totpctl
    assert set(man_items(of_a_login, "Cm")) == events


def test_every_event_that_a_page_shows_exists() -> None:
    for page in PAGES:
        shown = re.findall(r"\bevent=(\w+)", page.read_text(encoding="utf-8"))
        assert set(shown) <= set(emitted_events()), page.name


# PAM codes

PAM_CODES = {
    name: value
    for name, value in vars(login).items()
    if name.startswith("PAM_") and value in login.CODES and name != "PAM_SILENT"
}


def test_reference_lists_every_pam_code_with_its_number() -> None:
    table = rows(read("docs/reference/pam-codes.md"))
    assert {codes(row[0])[0]: int(row[1]) for row in table} == PAM_CODES
    assert set(PAM_CODES.values()) == login.CODES


def test_man_page_lists_every_pam_code() -> None:
    items = man_items(man_section("pam_totp.8", "RETURN VALUES"), "Dv")
    assert sorted(items) == sorted(PAM_CODES)


# Blocks, links, words


def shown_files(page: Path) -> dict[str, str]:
    """Return the packaged files that ``page`` links to in front of a block, with the block."""
    text = page.read_text(encoding="utf-8")
    pattern = r"\]\((?:\.\./)*(packaging/[^)]+)\)\):\n\n```\w+\n(.*?)```\n"
    return dict(re.findall(pattern, text, flags=re.S))


def test_blocks_are_equal_to_the_packaged_files() -> None:
    for page in PAGES:
        for path, block in shown_files(page).items():
            assert block == read(path), f"{page.name}: {path}"


def test_every_packaged_example_is_shown_on_the_page_for_doing_it_by_hand() -> None:
    assert sorted(shown_files(DOCS / "reference" / "by-hand.md")) == PACKAGED


def test_every_pam_line_on_a_page_is_one_that_works() -> None:
    packaged = {line for path in PACKAGED for line in read(path).splitlines()}
    for page in (*PAGES, *sorted((DOCS / "man").iterdir())):
        text = page.read_text(encoding="utf-8")
        shown = re.findall(r"^ *(auth .*pam_(?:totp|python)\.so.*)$", text, flags=re.M)
        inserted = re.findall(r"/a (auth [^']*)'", text)
        for line in (*shown, *inserted):
            native = line.replace(f"{PAM_PYTHON} {HOOK}", NATIVE)
            plain, _, arguments = native.partition(f"{NATIVE} ")
            if native not in packaged:
                assert plain + NATIVE in packaged if arguments else False, line
                assert config.parse_arguments(arguments.split()).problems == (), line


def test_only_its_own_pages_use_pam_python() -> None:
    """Elsewhere the module of choice is shown, so that nobody takes the other one by accident."""
    for page in (*PAGES, *sorted((DOCS / "man").iterdir())):
        lines = re.findall(rf"auth .*{PAM_PYTHON} {HOOK}", page.read_text(encoding="utf-8"))
        assert not lines or page.name in ("pam-python.md", "hosts.md", "pam_totp.8"), page.name
    assert not any(PAM_PYTHON in read(path) for path in PACKAGED)


def test_commands_on_the_pages_exist() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        blocks = "".join(re.findall(r"```sh\n(.*?)```", text, flags=re.S))
        used = re.findall(r"(?:^|sudo |`)totpctl ([a-z][a-z-]*)", blocks + text, flags=re.M)
        assert set(used) <= set(COMMANDS), page.name


def test_every_folder_of_tests_is_described() -> None:
    described = set(first_column(section(read("CONTRIBUTING.md"), "## Tests")))
    folders = {f"tests/{path.parent.name}" for path in (ROOT / "tests").glob("*/*.py")}
    assert folders - {"tests/support"} == described - {"tests/vectors"}


def test_every_module_of_a_login_is_in_the_list_of_files() -> None:
    listed = re.findall(r"^    (\w+(?:\.py|/)) ", read("pam_totp/__init__.py"), flags=re.M)
    files = [path.name for path in (ROOT / "pam_totp").glob("*.py") if path.name != "__init__.py"]
    sources = (path for kind in ("py", "c") for path in (ROOT / "pam_totp").glob(f"*/*.{kind}"))
    folders = [f"{path.parent.name}/" for path in sources]
    assert sorted(listed) == sorted({*files, *folders})


def test_numbers_of_the_code_are_those_of_the_reference() -> None:
    store_format = read("docs/reference/store-format.md")
    assert f"| `bucket` | 0 to {DECOY_BUCKETS - 1} |" in store_format
    assert f"one of {DECOY_BUCKETS} rows" in store_format
    assert f"knows {len(MIGRATIONS)}." in store_format
    assert login._PROBLEMS_LOGGED == 5
    for page in ("docs/reference/configuration.md", "docs/man/pam_totp.8"):
        assert "five such problems at most" in read(page), page


def test_value_that_the_reference_shows_is_a_good_one() -> None:
    text = section(read("docs/reference/configuration.md"), "# Configuration")
    shown = re.findall(r"^(\w+ = .*)$", text, flags=re.M)
    assert shown
    assert config.parse("\n".join(shown).encode()).problems == ()


@pytest.mark.parametrize("name", COMMANDS)
def test_both_pages_name_every_choice_of_an_option(name: str) -> None:
    page = section(read("docs/reference/totpctl.md"), f"### {usage(name)}")
    meanings = {codes(row[0])[0]: row[2] for row in rows(page)}
    for parameter in COMMANDS[name].params:
        if isinstance(parameter.type, click.Choice):
            option, choices = parameter.opts[0], list(parameter.type.choices)
            flag = f".It Fl -{option.removeprefix('--')} Cm {' | '.join(choices)}"
            assert flag in described_in_man(name)
            if not meanings[option].startswith("as for"):
                assert set(choices) <= set(codes(meanings[option])), option


def test_paths_of_the_code_are_those_of_the_reference() -> None:
    files = read("docs/reference/files.md")
    defaults = config.Config()
    for path in (config.DEFAULT_PATH, defaults.store, defaults.sealing_key):
        assert f"`{path}`" in files

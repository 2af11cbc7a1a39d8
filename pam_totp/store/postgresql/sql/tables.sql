-- The tables. Times are unix times in seconds, but for the events' own.

CREATE TYPE totp.verdict AS (
    outcome text,
    authenticator text,
    wait int,
    recovery_codes_left int,
    failed_before int,
    clock_is_behind boolean,
    clock_offset int,
    codes_only boolean
);

-- From where somebody has logged in, with the wrong answers that came from there. Of callers and terminals,
-- the name begins with that of their host.
CREATE TYPE totp.place AS (
    name text COLLATE "C",
    used_at bigint,
    failures int,
    throttled_until bigint,
    guesses_until bigint
);

-- Where a host asks for no code until then, once it has been right there: pam_totp/core/remembering.py.
CREATE TYPE totp.remembered AS (
    service text COLLATE "C",
    kind text,
    place text COLLATE "C",
    since bigint,
    until bigint,
    password text,
    host text COLLATE "C"
);

-- What columns may hold. Domains, for their checks cost nothing where another column is written.
CREATE DOMAIN totp.name AS text COLLATE "C" CHECK (octet_length(VALUE) BETWEEN 1 AND 1024);
CREATE DOMAIN totp.status AS text CHECK (VALUE IN ('active', 'suspended', 'exempt', 'must_enroll'));
CREATE DOMAIN totp.rule AS text CHECK (VALUE IN ('exempt', 'required'));
CREATE DOMAIN totp.algorithm AS text CHECK (VALUE IN ('SHA1', 'SHA256', 'SHA512'));
CREATE DOMAIN totp.digits AS int CHECK (VALUE IN (6, 7, 8));
CREATE DOMAIN totp.period AS int CHECK (VALUE BETWEEN 1 AND 86400);
CREATE DOMAIN totp.kind AS text CHECK (VALUE IN ('totp', 'hotp'));
CREATE DOMAIN totp.salt AS bytea CHECK (octet_length(VALUE) = 16);
CREATE DOMAIN totp.digest AS bytea CHECK (octet_length(VALUE) = 32);

-- schema_version; key_id; data_key, sealed under the administrator's key; decoy_key, under the data key.
CREATE TABLE totp.meta (
    key text COLLATE "C" PRIMARY KEY,
    value bytea NOT NULL
);

CREATE TABLE totp.policy (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    code_window int NOT NULL DEFAULT 1 CHECK (code_window BETWEEN 0 AND 10),
    throttle_after int NOT NULL DEFAULT 5 CHECK (throttle_after BETWEEN 1 AND 1000),
    throttle_base int NOT NULL DEFAULT 30 CHECK (throttle_base BETWEEN 1 AND 86400),
    throttle_max int NOT NULL DEFAULT 900 CHECK (throttle_max BETWEEN 1 AND 86400),
    max_failures int NOT NULL DEFAULT 100 CHECK (max_failures BETWEEN 1 AND 100000),
    slow_guesses int NOT NULL DEFAULT 100 CHECK (slow_guesses BETWEEN 1 AND 100000),
    slow_period int NOT NULL DEFAULT 2592000 CHECK (slow_period BETWEEN 86400 AND 315360000),
    look_ahead int NOT NULL DEFAULT 5 CHECK (look_ahead BETWEEN 1 AND 20),
    recovery_unlocks boolean NOT NULL DEFAULT false,
    require_standby boolean NOT NULL DEFAULT false,
    offline_hours int NOT NULL DEFAULT 0 CHECK (offline_hours BETWEEN 0 AND 168),
    first_enrollment boolean NOT NULL DEFAULT false
);
INSERT INTO totp.policy DEFAULT VALUES;

-- wrapped_key: the data key, sealed under the host's key, or until joined_at under the one-time key of
-- its token; sealed_key: that key, sealed under the data key. groups: whose members may log in there.
CREATE TABLE totp.hosts (
    name totp.name PRIMARY KEY,
    groups text[] COLLATE "C" NOT NULL,
    wrapped_key bytea NOT NULL,
    sealed_key bytea NOT NULL,
    join_until bigint NOT NULL,
    joined_at bigint,
    merged_seq bigint NOT NULL DEFAULT 0,
    added_at bigint NOT NULL,
    last_seen_at bigint
);

-- groups: of hosts; * is all of them. last_request, last_verdict: what was answered last, for the
-- host that lost the answer.
CREATE TABLE totp.users (
    name totp.name PRIMARY KEY,
    status totp.status NOT NULL,
    exempt_until bigint NOT NULL DEFAULT 0,
    failures int NOT NULL DEFAULT 0,
    untold int NOT NULL DEFAULT 0,
    throttled_until bigint NOT NULL DEFAULT 0,
    guesses_until bigint NOT NULL DEFAULT 0,
    known_places totp.place[] NOT NULL DEFAULT '{}',
    remembered totp.remembered[] NOT NULL DEFAULT '{}',
    recovery_salt totp.salt,
    uid bigint,
    bound_at bigint NOT NULL DEFAULT 0,
    groups text[] COLLATE "C" NOT NULL DEFAULT '{*}',
    created_at bigint NOT NULL DEFAULT 0,
    updated_at bigint NOT NULL DEFAULT 0,
    last_request bytea,
    last_verdict totp.verdict
) WITH (fillfactor = 60);

-- Of kind hotp, steps are counters, the period means nothing, and there is no drift.
CREATE TABLE totp.authenticators (
    id text COLLATE "C" PRIMARY KEY,
    user_name totp.name NOT NULL REFERENCES totp.users (name) ON DELETE CASCADE,
    label totp.name NOT NULL,
    algorithm totp.algorithm NOT NULL,
    digits totp.digits NOT NULL,
    period totp.period NOT NULL,
    drift int NOT NULL DEFAULT 0,
    last_accepted_step bigint NOT NULL DEFAULT -1,
    sealed_secret bytea NOT NULL,
    created_at bigint NOT NULL DEFAULT 0,
    last_used_at bigint,
    clock_offset int NOT NULL DEFAULT 0,
    clock_sightings int NOT NULL DEFAULT 0,
    kind totp.kind NOT NULL DEFAULT 'totp',
    serial text NOT NULL DEFAULT '',
    learned int NOT NULL DEFAULT 0 CHECK (abs(learned) <= 600),
    UNIQUE (user_name, label)
) WITH (fillfactor = 60);

CREATE TABLE totp.recovery_codes (
    user_name totp.name NOT NULL REFERENCES totp.users (name) ON DELETE CASCADE,
    digest totp.digest NOT NULL,
    PRIMARY KEY (user_name, digest)
);

CREATE TABLE totp.group_rules (
    name totp.name PRIMARY KEY,
    rule totp.rule NOT NULL,
    until bigint NOT NULL DEFAULT 0
);

-- Where wrong codes of names without an authenticator are counted. All rows are there from the
-- beginning: a name must not be told from another by an insert.
CREATE TABLE totp.decoys (
    bucket int PRIMARY KEY,
    failures int NOT NULL DEFAULT 0,
    throttled_until bigint NOT NULL DEFAULT 0,
    guesses_until bigint NOT NULL DEFAULT 0,
    last_request bytea,
    last_verdict totp.verdict
) WITH (fillfactor = 60);
INSERT INTO totp.decoys (bucket) SELECT pg_catalog.generate_series(0, 65535);

-- authenticator_id and step: whose code of which step was accepted. offline: as a host reported later.
CREATE TABLE totp.events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    host text COLLATE "C" NOT NULL,
    user_name text COLLATE "C" NOT NULL,
    event text NOT NULL,
    service text NOT NULL,
    rhost text NOT NULL,
    authenticator text NOT NULL DEFAULT '',
    wait int NOT NULL DEFAULT 0,
    authenticator_id text COLLATE "C",
    step bigint,
    offline boolean NOT NULL DEFAULT false
);

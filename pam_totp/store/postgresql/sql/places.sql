-- Known places, and what is kept for them: pam_totp/core/places.py, and the helpers of verifier.py. Then
-- remembered places.

-- The name of a place as a host tells it, as it is kept: callers and terminals are those of the host that has
-- proven who it is. '': no place.
CREATE FUNCTION totp.place_name(p_place text, p_host text) RETURNS text IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN p_place IS NULL OR octet_length(p_place) > 512 THEN ''
    WHEN p_place ~ '^(by|at) ' THEN p_host || ': ' || p_place
    WHEN p_place ~ '^[0-9a-f.:/]+$' THEN p_place
    ELSE '' END;

CREATE FUNCTION totp.place_has_ended(p_place totp.place, p_now bigint) RETURNS boolean IMMUTABLE PARALLEL SAFE
RETURN p_now - (p_place).used_at > 365 * 86400;

-- Where in p_known the place of that name is; null: it is not known.
CREATE FUNCTION totp.place_number(p_known totp.place[], p_name text, p_now bigint) RETURNS int
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    FOR i IN 1 .. coalesce(cardinality(p_known), 0) LOOP
        IF (p_known[i]).name = p_name AND p_name <> '' AND NOT totp.place_has_ended(p_known[i], p_now) THEN
            RETURN i;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

-- places.used()
CREATE FUNCTION totp.places_used(p_known totp.place[], p_name text, p_now bigint) RETURNS totp.place[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    v_hour bigint := p_now - p_now % 3600;
    v_place totp.place;
    v_kept totp.place[] := '{}';
    v_oldest int;
BEGIN
    FOREACH v_place IN ARRAY p_known LOOP
        CONTINUE WHEN totp.place_has_ended(v_place, p_now);
        v_place.failures := 0;
        v_place.throttled_until := 0;
        IF v_place.name = p_name THEN
            v_place.used_at := v_hour;
        END IF;
        v_kept := v_kept || v_place;
    END LOOP;
    IF p_name = '' OR totp.place_number(v_kept, p_name, p_now) IS NOT NULL THEN
        RETURN v_kept;
    END IF;
    IF cardinality(v_kept) >= 8 THEN
        v_oldest := (SELECT x.number FROM unnest(v_kept) WITH ORDINALITY AS x (name, used_at, f, t, g, number)
            ORDER BY x.used_at, x.number LIMIT 1);
        v_kept := v_kept[: v_oldest - 1] || v_kept[v_oldest + 1 :];
    END IF;
    RETURN v_kept || ROW(p_name, v_hour, 0, 0, 0)::totp.place;
END $$;

CREATE FUNCTION totp.locked_from(p_count int) RETURNS int IMMUTABLE PARALLEL SAFE RETURN p_count - p_count / 5;

CREATE FUNCTION totp.allowance(p_count int) RETURNS int IMMUTABLE PARALLEL SAFE RETURN (p_count / 5 + 1) / 2;

CREATE FUNCTION totp.guesses_debt(p_until bigint, p_budget int, p_now bigint, p_interval int) RETURNS bigint
IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN p_until - p_now BETWEEN 0 AND p_budget::bigint * p_interval THEN p_until - p_now ELSE 0 END;

CREATE FUNCTION totp.remaining_wait(p_until bigint, p_failures int, p_now bigint, p totp.policy) RETURNS bigint
IMMUTABLE PARALLEL SAFE
RETURN least(p_until - p_now,
    totp.throttle_wait(p_failures, (p).throttle_after, (p).throttle_base, (p).throttle_max));

CREATE FUNCTION totp.wait_until(p_failures int, p_now bigint, p totp.policy) RETURNS bigint IMMUTABLE PARALLEL SAFE
RETURN coalesce(p_now
    + nullif(totp.throttle_wait(p_failures, (p).throttle_after, (p).throttle_base, (p).throttle_max), 0), 0);

-- _with_allowance(); p_place null: it is not known.
CREATE FUNCTION totp.has_allowance(p_place totp.place, p_is_code boolean, p_now bigint, p totp.policy) RETURNS boolean
IMMUTABLE PARALLEL SAFE
RETURN (p_place).name IS NOT NULL AND (p_place).failures < totp.allowance((p).max_failures) AND NOT (
    p_is_code AND totp.guesses_debt((p_place).guesses_until, totp.allowance((p).slow_guesses), p_now,
        (p).slow_period / (p).slow_guesses)
    > (totp.allowance((p).slow_guesses) - 1)::bigint * ((p).slow_period / (p).slow_guesses));

-- remembering.noted(). What a host asks for that no release does is not remembered. Of all hosts together, 128 are
-- kept.
CREATE FUNCTION totp.remembering(p_known totp.remembered[], p_host text, p_wish jsonb, p_now bigint)
RETURNS totp.remembered[] LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    v_seconds bigint := totp.whole(p_wish -> 'seconds');
    v_new totp.remembered[];
    v_kept totp.remembered[];
BEGIN
    IF v_seconds IS NULL OR v_seconds > 86400 OR octet_length(p_wish::text) > 2048
        OR jsonb_typeof(p_wish -> 'notes') IS DISTINCT FROM 'array'
        OR p_wish ->> 'service' IS NULL OR p_wish ->> 'password' IS NULL
    THEN
        RETURN p_known;
    END IF;
    v_new := ARRAY(
        SELECT ROW(p_wish ->> 'service', n.note ->> 0, n.note ->> 1, p_now, p_now + v_seconds, p_wish ->> 'password',
            p_host)::totp.remembered
        FROM jsonb_array_elements(p_wish -> 'notes') WITH ORDINALITY AS n (note, number)
        WHERE n.note ->> 0 IN ('address', 'terminal', 'login') AND n.note ->> 1 <> ''
        ORDER BY n.number LIMIT 4);
    v_kept := ARRAY(
        SELECT ROW(m.service, m.kind, m.place, m.since, m.until, m.password, m.host)::totp.remembered FROM (
            SELECT n.*, row_number() OVER (PARTITION BY n.host ORDER BY n.number DESC) AS of_host,
                row_number() OVER (ORDER BY n.number DESC) AS of_all
            FROM unnest(p_known) WITH ORDINALITY AS n (service, kind, place, since, until, password, host, number)
            WHERE n.since <= p_now AND p_now < n.until AND NOT EXISTS (
                SELECT FROM unnest(v_new) AS x
                WHERE (x.service, x.kind, x.place, x.host) = (n.service, n.kind, n.place, n.host))) AS m
        WHERE (m.host <> p_host OR m.of_host <= 12 - cardinality(v_new)) AND m.of_all <= 128 - cardinality(v_new)
        ORDER BY m.number);
    RETURN v_kept || v_new;
END $$;

-- What of that a host may hear: its own.
CREATE FUNCTION totp.told_remembered(p_user text, p_groups text[], p_host text) RETURNS jsonb LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(jsonb_agg(to_jsonb(r) - 'host'), '[]') FROM totp.users u, unnest(u.remembered) AS r
    WHERE u.name = p_user AND u.groups && p_groups AND r.host = p_host;
END;

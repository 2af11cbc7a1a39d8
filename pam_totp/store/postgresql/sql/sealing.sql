-- Sealing: AES-256-CBC, then HMAC-SHA-256 over all of it and what it is bound to. Envelope: version 2,
-- key id (4 bytes), IV (16), ciphertext, MAC (32). Functions of one expression are parsed here, once, and
-- become part of a caller's expression, where what it hands over is a variable.

-- One field, with its length: no two lists of fields are the same bytes. Stable, as convert_to is: else
-- it would not become a part.
CREATE FUNCTION totp.field(p_text text) RETURNS bytea STABLE PARALLEL SAFE
RETURN int4send(octet_length(convert_to(p_text, 'UTF8'))) || convert_to(p_text, 'UTF8');

-- What a secret is bound to: a row copied onto another user, or weakened, does not open.
CREATE FUNCTION totp.secret_binding(p_user text, p_id text, p_algorithm text, p_digits int, p_period int, p_kind text)
RETURNS bytea STABLE PARALLEL SAFE
RETURN totp.field(p_user) || totp.field(p_id) || totp.field(p_algorithm) || int4send(p_digits) || int4send(p_period)
    || totp.field(p_kind);

CREATE FUNCTION totp.key_id(p_key bytea) RETURNS bytea IMMUTABLE PARALLEL SAFE
RETURN substring(totp_crypto.hmac('key id'::bytea, p_key, 'sha256') FOR 4);

CREATE FUNCTION totp.mac(p_body bytea, p_key bytea, p_bound bytea) RETURNS bytea IMMUTABLE PARALLEL SAFE
RETURN totp_crypto.hmac(
    int4send(octet_length(p_bound)) || p_bound || p_body,
    totp_crypto.hmac('mac'::bytea, p_key, 'sha256'), 'sha256');

CREATE FUNCTION totp.seal(p_secret bytea, p_key bytea, p_bound bytea) RETURNS bytea
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_iv bytea := totp_crypto.gen_random_bytes(16);
    v_body bytea;
BEGIN
    v_body := decode('02', 'hex') || totp.key_id(p_key) || v_iv || totp_crypto.encrypt_iv(
        p_secret, totp_crypto.hmac('enc'::bytea, p_key, 'sha256'), v_iv, 'aes-cbc/pad:pkcs');
    RETURN v_body || totp.mac(v_body, p_key, p_bound);
END $$;

-- Null: it does not open, or there is no key.
CREATE FUNCTION totp.unseal(p_envelope bytea, p_key bytea, p_bound bytea) RETURNS bytea IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN octet_length(p_envelope) < 69 THEN NULL
    WHEN get_byte(p_envelope, 0) <> 2 THEN NULL
    WHEN totp.mac(substring(p_envelope FOR octet_length(p_envelope) - 32), p_key, p_bound)
        = substring(p_envelope FROM octet_length(p_envelope) - 31)
    THEN totp_crypto.decrypt_iv(
        substring(p_envelope FROM 22 FOR octet_length(p_envelope) - 53),
        totp_crypto.hmac('enc'::bytea, p_key, 'sha256'),
        substring(p_envelope FROM 6 FOR 16), 'aes-cbc/pad:pkcs')
END;

-- What the rules of a payment method ask of a table, the indexes that its lists
-- need, and the outbox that is written in the same transaction.
CREATE TABLE payment_methods (
  id              text        PRIMARY KEY,
  organization_id text        NOT NULL,
  customer_id     text        NOT NULL,
  external_id     text,
  type            text        NOT NULL CHECK (type IN ('card', 'bank_account', 'direct_debit', 'paypal', 'wallet', 'twint', 'other')),
  status          text        NOT NULL CHECK (status IN ('pending', 'active', 'paused', 'expired', 'failed', 'blocked', 'detached')),
  is_default      boolean     NOT NULL,
  fingerprint     text        NOT NULL,
  provider        text        NOT NULL,
  provider_id     text        NOT NULL,
  details         json        NOT NULL, -- card, bank account, verification, billing address, metadata
  expires_at      timestamptz,
  idempotency_key text,
  request_hash    bytea,
  version         bigint      NOT NULL,
  created_at      timestamptz NOT NULL,
  updated_at      timestamptz NOT NULL
);

CREATE UNIQUE INDEX one_default     ON payment_methods (organization_id, customer_id) WHERE is_default;
CREATE UNIQUE INDEX idempotent      ON payment_methods (organization_id, customer_id, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE UNIQUE INDEX no_duplicate    ON payment_methods (organization_id, customer_id, fingerprint) WHERE status <> 'detached';
CREATE INDEX list_of_organization   ON payment_methods (organization_id, id DESC);
CREATE INDEX list_of_customer       ON payment_methods (organization_id, customer_id, id DESC);
CREATE INDEX by_expiry              ON payment_methods (expires_at) WHERE status IN ('active', 'paused');
CREATE INDEX by_fingerprint         ON payment_methods (organization_id, fingerprint);
CREATE INDEX by_external_id         ON payment_methods (organization_id, external_id) WHERE external_id IS NOT NULL;

CREATE TABLE outbox (
  id              bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  event_id        text        NOT NULL,
  organization_id text        NOT NULL,
  type            text        NOT NULL,
  subject         text        NOT NULL, -- the method's id
  created_at      timestamptz NOT NULL,
  body            text        NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);

-- A store of schema 1, dumped: what Gantry 0.1.0 wrote for three sessions (one deleted) and four settings (one deleted).
PRAGMA application_id = 1196315731;
PRAGMA user_version = 1;
PRAGMA auto_vacuum = INCREMENTAL;
BEGIN TRANSACTION;
CREATE TABLE events (
    seq INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, topic TEXT NOT NULL, payload TEXT NOT NULL, bytes INTEGER NOT NULL) STRICT;
INSERT INTO "events" VALUES(1,1796095165097,'state.session.created','{"session":{"attributes":{"color":"red","n":1.0},"branch":"main","created_ms":1796095165097,"id":"ad58bf79fd6a6eec98adaaf350849ffd","name":"first","open_files":["/work/a/x.cpp"],"rev":1,"roots":["/work/a"],"updated_ms":1796095165097},"session_id":"ad58bf79fd6a6eec98adaaf350849ffd"}',282);
INSERT INTO "events" VALUES(2,1796095165184,'state.session.updated','{"from_rev":1,"patch":{"branch":null,"name":"renamed","updated_ms":1796095165184},"rev":2,"session_id":"ad58bf79fd6a6eec98adaaf350849ffd"}',138);
INSERT INTO "events" VALUES(3,1796095165188,'state.session.created','{"session":{"attributes":{},"created_ms":1796095165188,"id":"42712f95b85fa74a22c93a3b0092a9a8","name":"second","open_files":[],"rev":1,"roots":[],"updated_ms":1796095165188},"session_id":"42712f95b85fa74a22c93a3b0092a9a8"}',222);
INSERT INTO "events" VALUES(4,1796095165271,'state.session.created','{"cause":{"client_id":"editor","mutation_id":7},"session":{"attributes":{},"created_ms":1796095165271,"id":"b0f0492553fbb0f3ae3f2e086391cab0","name":"third","open_files":[],"rev":1,"roots":[],"updated_ms":1796095165271},"session_id":"b0f0492553fbb0f3ae3f2e086391cab0"}',268);
INSERT INTO "events" VALUES(5,1796095165275,'state.session.deleted','{"rev":2,"session_id":"42712f95b85fa74a22c93a3b0092a9a8"}',57);
INSERT INTO "events" VALUES(6,1796095165277,'state.setting.changed','{"key":"theme","rev":1,"scope":"user","value":"dark"}',53);
INSERT INTO "events" VALUES(7,1796095165280,'state.setting.changed','{"key":"tabs","rev":1,"scope":"user","value":{"hard":null,"width":4}}',69);
INSERT INTO "events" VALUES(8,1796095165283,'state.setting.changed','{"key":"gone","rev":1,"scope":"user","value":1}',47);
INSERT INTO "events" VALUES(9,1796095165285,'state.setting.changed','{"key":"gone","rev":2,"scope":"user","value":null}',50);
INSERT INTO "events" VALUES(10,1796095165288,'state.setting.changed','{"key":"theme","rev":1,"scope":"workspace","value":"light","workspace":"/work"}',86);
CREATE TABLE mutations (
    n INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, client TEXT NOT NULL, mutation TEXT NOT NULL,
    body TEXT NOT NULL, result TEXT NOT NULL, bytes INTEGER NOT NULL, UNIQUE (client, mutation)) STRICT;
INSERT INTO "mutations" VALUES(1,174,'editor','7','668e69f8aeb86c76-38','{"durability":"D2","epoch":"b66bb299bb371b0c550b035ac9a973af","seq":4,"session":{"attributes":{},"created_ms":1796095165271,"id":"b0f0492553fbb0f3ae3f2e086391cab0","name":"third","open_files":[],"rev":1,"roots":[],"updated_ms":1796095165271}}',249);
CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY, applied_ms INTEGER NOT NULL) STRICT;
INSERT INTO "schema_migrations" VALUES(1,1796095165096);
CREATE TABLE sessions (
    created_seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, rev INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
INSERT INTO "sessions" VALUES(1,'ad58bf79fd6a6eec98adaaf350849ffd',2,'{"attributes":{"color":"red","n":1.0},"created_ms":1796095165097,"name":"renamed","open_files":["/work/a/x.cpp"],"roots":["/work/a"],"updated_ms":1796095165184}');
INSERT INTO "sessions" VALUES(4,'b0f0492553fbb0f3ae3f2e086391cab0',1,'{"attributes":{},"created_ms":1796095165271,"name":"third","open_files":[],"roots":[],"updated_ms":1796095165271}');
CREATE TABLE settings (
    n INTEGER PRIMARY KEY, scope TEXT NOT NULL, key TEXT NOT NULL, value TEXT, rev INTEGER NOT NULL,
    changed_seq INTEGER NOT NULL, UNIQUE (scope, key)) STRICT;
INSERT INTO "settings" VALUES(1,'user','theme','"dark"',1,6);
INSERT INTO "settings" VALUES(2,'user','tabs','{"hard":null,"width":4}',1,7);
INSERT INTO "settings" VALUES(3,'user','gone',NULL,2,9);
INSERT INTO "settings" VALUES(4,'workspace:/work','theme','"light"',1,10);
CREATE TABLE store (
    id INTEGER PRIMARY KEY CHECK (id = 1), store_id TEXT NOT NULL, epoch TEXT NOT NULL,
    seq INTEGER NOT NULL DEFAULT 0, floor INTEGER NOT NULL DEFAULT 0,
    sessions INTEGER NOT NULL DEFAULT 0, settings INTEGER NOT NULL DEFAULT 0, data_bytes INTEGER NOT NULL DEFAULT 0,
    log_bytes INTEGER NOT NULL DEFAULT 0,
    mutations INTEGER NOT NULL DEFAULT 0, mutation_bytes INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO "store" VALUES(1,'1041342d9df95163a7c2ed13b8da8d07','b66bb299bb371b0c550b035ac9a973af',10,0,2,4,309,1272,1,249);
CREATE INDEX settings_deleted ON settings (changed_seq) WHERE value IS NULL;
COMMIT;

-- The extension, and the stand-in OSS as the one server of it.
\set QUIET on
\getenv port OSS_HTTP_PORT
\set endpoint http://127.0.0.1: :port

CREATE EXTENSION oss_labels;
CREATE SERVER oss FOREIGN DATA WRAPPER oss_labels
	OPTIONS (region 'cn-hangzhou', endpoint :'endpoint');
CREATE USER MAPPING FOR CURRENT_USER SERVER oss
	OPTIONS (access_key_id 'testid', access_key_secret 'testsecret');

CREATE TABLE photo (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	key text NOT NULL
);
INSERT INTO photo (key) VALUES
	('photos/beach.jpg'), ('photos/cat.png'), ('photos/dinner.jpg'),
	('photos/garden.png'), ('photos/mountain.jpg'), ('photos/street.jpg');
\set QUIET off

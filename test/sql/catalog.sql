-- Every object of the extension says what it is, nothing is PUBLIC's, and what
-- has a body does not depend on the caller's search_path.

SELECT oid AS extension, extconfig FROM pg_extension WHERE extname = 'oss_labels' \gset
CREATE TEMP VIEW member AS
	SELECT classid, objid, pg_describe_object(classid, objid, 0) AS name
	FROM pg_depend
	WHERE deptype = 'e' AND refclassid = 'pg_extension'::regclass AND refobjid = :extension
		-- from 17 on the types of tables and of arrays are members by themselves
		AND NOT (classid = 'pg_type'::regclass AND objid IN (
			SELECT oid FROM pg_type WHERE typtype = 'c' OR typcategory = 'A'));

-- the kinds of objects that the queries below must know
SELECT DISTINCT classid::regclass::text COLLATE "C" AS kind FROM member ORDER BY 1;
SELECT count(*) > 80 AS there_are_some FROM member;

-- without a comment that says something in one line: the rest is in sql/README.md
SELECT name FROM member
WHERE coalesce(obj_description(objid, classid::regclass::name) !~ '^\S.{10,149}$', true);
SELECT c.oid::regclass, a.attname
FROM member m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
	JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f', 'c') AND a.attnum > 0 AND NOT a.attisdropped
	AND col_description(c.oid, a.attnum) IS NULL;

-- rights of PUBLIC; that to use a type lets nobody do anything
SELECT m.name, a.privilege_type
FROM member m
	LEFT JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
	LEFT JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
	LEFT JOIN pg_namespace n ON m.classid = 'pg_namespace'::regclass AND n.oid = m.objid
	LEFT JOIN pg_foreign_data_wrapper w
		ON m.classid = 'pg_foreign_data_wrapper'::regclass AND w.oid = m.objid,
	aclexplode(CASE
		WHEN p.oid IS NOT NULL THEN coalesce(p.proacl, acldefault('f', p.proowner))
		WHEN c.oid IS NOT NULL THEN c.relacl
		WHEN n.oid IS NOT NULL THEN n.nspacl
		ELSE w.fdwacl END) a
WHERE a.grantee = 0;
SELECT c.oid::regclass, t.attname, a.privilege_type
FROM member m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
	JOIN pg_attribute t ON t.attrelid = c.oid, aclexplode(t.attacl) a
WHERE a.grantee = 0;

-- bodies that are read with the caller's search_path
SELECT p.oid::regprocedure
FROM member m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
	JOIN pg_language l ON l.oid = p.prolang
WHERE (p.prosecdef OR l.lanname NOT IN ('c', 'internal') AND p.prosqlbody IS NULL)
	AND p.prokind <> 'a'
	AND NOT coalesce(p.proconfig @> ARRAY['search_path=pg_catalog, pg_temp'], false);

-- tables and sequences that pg_dump would leave empty: what is true of this cluster only
SELECT c.oid::regclass
FROM member m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
WHERE c.relkind IN ('r', 'S') AND c.oid <> ALL (:'extconfig'::oid[]);

-- members outside of the extension's schema: operators, so that they need none
SELECT m.name
FROM member m LEFT JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
	LEFT JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
	LEFT JOIN pg_type t ON m.classid = 'pg_type'::regclass AND t.oid = m.objid
	LEFT JOIN pg_operator o ON m.classid = 'pg_operator'::regclass AND o.oid = m.objid
WHERE coalesce(c.relnamespace, p.pronamespace, t.typnamespace, o.oprnamespace)
	<> 'oss_labels'::regnamespace;

-- where a query may be parallel: rate_status() tells of this session without preloading
SELECT p.oid::regproc, p.proparallel
FROM pg_proc p WHERE p.oid IN ('oss_labels.rate_status'::regproc, 'oss_labels.profile'::regproc)
ORDER BY p.proname;

-- ENABLE TRIGGER ALL, as of pg_restore --disable-triggers, leaves each trigger of our tables firing as before
BEGIN;
CREATE TEMP TABLE firing AS
SELECT t.oid, t.tgname, c.oid::regclass AS relation, t.tgenabled
FROM member m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid AND c.relkind = 'r'
	JOIN pg_trigger t ON t.tgrelid = c.oid AND NOT t.tgisinternal;
DO $$
DECLARE
	relation regclass;
BEGIN
	FOR relation IN SELECT DISTINCT f.relation FROM firing f LOOP
		EXECUTE format('ALTER TABLE %s DISABLE TRIGGER ALL', relation);
		EXECUTE format('ALTER TABLE %s ENABLE TRIGGER ALL', relation);
	END LOOP;
END $$;
SELECT f.relation, f.tgname, f.tgenabled AS before, t.tgenabled AS after
FROM firing f JOIN pg_trigger t ON t.oid = f.oid WHERE t.tgenabled <> f.tgenabled;
SELECT count(*) > 10 AS always FROM firing WHERE tgenabled = 'A';
ROLLBACK;

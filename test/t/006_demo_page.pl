# The example application of make demo: tables, and a page that a browser shows.
use strict;
use warnings;
use lib 'test/perl';
use OssServer;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my ($browser) = grep { -x } map { ("$_/chromium", "$_/chromium-browser", "$_/google-chrome") }
  split /:/, $ENV{PATH};
my $oss = OssServer->new;
my $node = PostgreSQL::Test::Cluster->new('demo');
$node->init(extra => [ '-E', 'UTF8', '--locale=C' ]);
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'oss_labels'");
$node->start;

my $page = $node->basedir . '/demo.html';
local %ENV = (%ENV, $oss->environment, PGHOST => $node->host, PGPORT => $node->port, PGDATABASE => 'postgres');
my ($out, $err) = run_command([ 'test/demo/app', $page ]);
is($err, '', 'the application runs without complaint');
like($out, qr/^\s+50 \|\s+50 \|\s+50 \|\s+0 \|\s+1 \|\s+50$/m, 'one call tagged a bucket of 50 pictures');
unlike($out, qr/watch\(|INSERT INTO post/, 'without a table of them');
is($oss->count('label_requests'), 50, 'for one request each');
like($out, qr/Quiet beaches \|\s+7 \|/, 'albums follow their rules and the people');
like($out, qr/Bo   \| album\/beach-9\.png/, 'users get what they like and have not seen');
my $html = slurp_file($page);
like($html, qr/<b>50<\/b><span>pictures.*<b>50<\/b><span>label requests/s, 'the page says so');
is(scalar(() = $html =~ /class="pin"/g), 1, 'and what people pinned');
is(scalar(() = $html =~ /class="user"/g), 3, 'and what each user may like');
unlike($html, qr/(?:src|href|url)\s*[=(]\s*"?https?:/, 'the page needs nothing else');
unlike($html, qr/x-oss-signature|testsecret/i, 'and gives no signature away');
unlike($html, qr/127\.0\.0\.1/, 'nor an address');

SKIP:
{
	if (!$browser)
	{
		die 'no chromium' if ($ENV{CI} // '') eq 'true';
		skip 'no chromium to look at the page', 4;
	}
	# What the browser makes of the page, and whether each picture can be decoded.
	my $probe = $node->basedir . '/probe.html';
	(my $probing = $html) =~ s{</body>}{<script>
		Promise.all([...document.querySelectorAll('.photo, .small')].map(async e => {
			const i = new Image();
			const loaded = new Promise((yes, no) => { i.onload = yes; i.onerror = no; });
			i.src = getComputedStyle(e).backgroundImage.slice(5, -2);
			await loaded;
			return i.naturalWidth;
		})).then(w => document.title = 'decoded ' + w.filter(n => n == 200).length + ' of ' + w.length,
			e => document.title = 'failed ' + e);
		</script></body>};
	append_to_file($probe, $probing);
	my @options = ('--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage',
		'--user-data-dir=' . $node->basedir . '/browser', '--virtual-time-budget=20000');
	my ($dom, $decoded, $all);
	# a busy machine may let the browser's time run out before the script's end
	for (1 .. 5)
	{
		($dom) = run_command([ $browser, @options, '--dump-dom', "file://$probe" ]);
		($decoded, $all) = $dom =~ /<title>decoded (\d+) of (\d+)/ and last;
	}
	is($decoded, $all, 'the browser decodes every picture');
	cmp_ok($all // 0, '>=', 100, 'of which there are many');
	is(scalar(() = $dom =~ /<section class="album"/g), 4, 'four albums');
	my $shot = $node->basedir . '/page.png';
	run_command([ $browser, @options, '--window-size=1280,1700', "--screenshot=$shot", "file://$page" ]);
	cmp_ok(-s $shot // 0, '>', 20000, 'and a screenshot that is not empty');
}
$node->stop;
done_testing();

# A headless Chromium that a test looks into, clicks and types with, as a user
# does: its DevTools protocol by a pair of pipes, so that no port is opened.
package Browser;

use strict;
use warnings;

use Encode qw(decode encode);
use IO::Select;
use JSON::PP;
use POSIX ();
use Time::HiRes qw(sleep time);

# Return the browser of this machine, undef if there is none.
sub path
{
	my ($path) = grep { -x } map { ("$_/chromium", "$_/chromium-browser", "$_/google-chrome") }
	  split /:/, $ENV{PATH};
	return $path;
}

# Start a browser with its profile in a directory, and open a file.
sub new
{
	my ($class, $dir, $file) = @_;
	pipe(my $its_in, my $in) or die $!;
	pipe(my $out, my $its_out) or die $!;
	defined(my $pid = fork) or die $!;
	if (!$pid)
	{
		# the protocol's descriptors are 3 and 4, which either end may have now
		my ($from, $to) = map { POSIX::dup2(fileno $_->[0], $_->[1]) } [ $its_in, 50 ], [ $its_out, 51 ];
		POSIX::dup2($from, 3);
		POSIX::dup2($to, 4);
		POSIX::close($_) for 50, 51;
		open STDIN, '<', '/dev/null';
		open STDOUT, '>', "$dir.log";
		open STDERR, '>&', \*STDOUT;
		setpgrp;
		exec path(), '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
		  '--remote-debugging-pipe', '--window-size=1200,900', "--user-data-dir=$dir", 'about:blank'
		  or POSIX::_exit(1);
	}
	close $its_in;
	close $its_out;
	my $self = bless { pid => $pid, in => $in, out => $out, got => '', id => 0, complaints => [] }, $class;
	my $target = $self->ask('Target.createTarget', url => 'about:blank')->{targetId};
	$self->{session} = $self->ask('Target.attachToTarget', targetId => $target, flatten => JSON::PP::true)->{sessionId};
	$self->ask($_) for 'Page.enable', 'Runtime.enable', 'Log.enable', 'Network.enable';
	$self->ask('Page.navigate', url => "file://$file");
	$self->wait_for('document.readyState == "complete" && location.protocol == "file:"');
	return $self;
}

# Send a command and return its result.  What the page complains of meanwhile is kept.
sub ask
{
	my ($self, $method, %params) = @_;
	my $id = ++$self->{id};
	my %command = (id => $id, method => $method, params => \%params);
	$command{sessionId} = $self->{session} if $self->{session};
	local $SIG{PIPE} = 'IGNORE';
	syswrite $self->{in}, encode_json(\%command) . "\0" or die "$method: $!";
	my $until = time + 60;
	while (1)
	{
		while ($self->{got} =~ s/^([^\0]*)\0//)
		{
			my $message = decode_json($1);
			my $said = $message->{method} // '';
			push @{ $self->{complaints} }, $message->{params}{exceptionDetails}{exception}{description} // 'exception'
			  if $said eq 'Runtime.exceptionThrown';
			push @{ $self->{complaints} }, $message->{params}{entry}{text} if $said eq 'Log.entryAdded';
			push @{ $self->{urls} }, $message->{params}{request}{url} if $said eq 'Network.requestWillBeSent';
			next if ($message->{id} // 0) != $id;
			die "$method: $message->{error}{message}\n" if $message->{error};
			return $message->{result};
		}
		IO::Select->new($self->{out})->can_read($until - time) or die "$method: no answer\n";
		sysread $self->{out}, $self->{got}, 1 << 20, length $self->{got} or die "$method: the browser has ended\n";
	}
}

# Return the value of an expression in the page.
sub value
{
	my ($self, $expression) = @_;
	my $got = $self->ask('Runtime.evaluate', expression => $expression, returnByValue => JSON::PP::true,
		awaitPromise => JSON::PP::true);
	die "$expression: $got->{exceptionDetails}{exception}{description}\n" if $got->{exceptionDetails};
	return $got->{result}{value};
}

# Wait until an expression is true; return whether it is.
sub wait_for
{
	my ($self, $expression) = @_;
	my $until = time + 60;
	until ($self->value("!!($expression)"))
	{
		return 0 if time > $until;
		sleep 0.05;
	}
	return 1;
}

# Click at the middle of the first element that matches a selector, and has a text
# if one is given.  Dies unless a user could: another element may be in front of it.
sub click
{
	my ($self, $selector, $text) = @_;
	my $at = $self->value('(() => { const [selector, text] = ' . decode('UTF-8', encode_json([ $selector, $text ])) . ';
		const e = [...document.querySelectorAll(selector)].find(e => text === null || e.textContent.trim() === text);
		if (!e) return null;
		e.scrollIntoView({ block: "center" });
		const r = e.getBoundingClientRect(), x = r.x + r.width / 2, y = r.y + r.height / 2;
		return e.contains(document.elementFromPoint(x, y)) ? [x, y] : null; })()')
	  or die "nothing to click: $selector\n";
	my %button = (x => $at->[0], y => $at->[1], button => 'left', clickCount => 1);
	$self->ask('Input.dispatchMouseEvent', type => $_, %button) for 'mousePressed', 'mouseReleased';
	return;
}

# Type text where the focus is.
sub type
{
	my ($self, $text) = @_;
	$self->ask('Input.insertText', text => $text);
	return;
}

# Press a key: Tab or Enter.
sub press
{
	my ($self, $key) = @_;
	my %code = (Tab => 9, Enter => 13);
	my %event = (key => $key, code => $key, windowsVirtualKeyCode => $code{$key});
	$self->ask('Input.dispatchKeyEvent', type => 'keyDown', %event, $key eq 'Enter' ? (text => "\r") : ());
	$self->ask('Input.dispatchKeyEvent', type => 'keyUp', %event);
	return;
}

sub DESTROY
{
	my ($self) = @_;
	local ($?, $!);
	close $self->{in};
	close $self->{out};
	kill 'KILL', -$self->{pid};
	waitpid $self->{pid}, 0;
	return;
}

1;

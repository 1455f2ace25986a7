# Perl's XMLRPC::Lite, which comes with SOAP::Lite. Arguments: address, token, a gate (see clients.rs).
use strict; use warnings; use utf8;
use Digest::SHA; use Encode; use JSON::PP;
use XMLRPC::Lite;
binmode STDOUT, ':utf8';

my ($url, $token, $gate) = @ARGV;
my $vocable = XMLRPC::Lite->proxy($url);
$vocable->transport->http_request->header(Authorization => "Bearer $token");
sub typed { XMLRPC::Data->type(@_) }
sub string { typed(string => $_[0]) }
sub call { $vocable->call(@_) }
sub value { my $r = call(@_); die $r->faultstring if $r->fault; $r->result }
sub echo { value('word.ECHO', string('vm1'), { value => $_[0] })->[0]{answer}{value} }
sub check { my ($name, $sent, $came) = @_; print "$name ", $sent eq $came ? 'same' : "not $came", "\n" }
sub yes { $_[0] ? 'True' : 'False' }

check(boolean => '1 0', "@{echo([typed(boolean => 1), typed(boolean => 0)])}");
my @integers = (-2147483648, 0, 2147483647);
check(integer => "@integers", "@{echo([map { typed(int => $_) } @integers])}");
my @doubles = (0.5, -1.25, 5e9, 1e100);
my $doubles = echo([map { typed(double => $_) } @doubles]);
check(double => 4, scalar grep { $doubles->[$_] == $doubles[$_] } 0 .. 3);
my $text = " <&>\"' ü€\x{1d11e} ]]>\n\ttail ";
check(string => $text, echo(string($text)));
check(empty => '', echo(string('')));
my $bytes = join '', map { chr } 0 .. 255;
check(bytes => $bytes, echo(typed(base64 => $bytes)));
my $json = JSON::PP->new->canonical;
check(array => '["1","two",["3.5",[]]]', $json->encode(echo([1, string('two'), [3.5, []]])));
check(struct => '{"a":"1","b c":{"<d>":""}}', $json->encode(echo({ a => 1, 'b c' => { '<d>' => string('') } })));
print 'time ', echo(typed(dateTime => '20261122T09:01:44')), "\n";

for ([ 'cmd.run', string('vm9'), 'true' ], [ 'cmd.run', string('vm1'), typed(int => 5) ], ['cmd.fly']) {
    my $r = call(@$_);
    $r->fault and print 'fault ', $r->faultcode, ' ', (split /:/, $r->faultstring)[0], "\n";
}

my %methods = map { $_ => 1 } @{value('system.listMethods')};
print join(' ', 'lists', map { yes($methods{$_}) } 'cmd.run', 'word.ECHO', 'system.multicall'), "\n";
print "signature @{value('system.methodSignature', 'cmd.wait')->[0]}\n";
print 'help ', (split /\(/, value('system.methodHelp', 'cmd.wait'))[0], "\n";

my $script = "cat; printf '\\377' >&2; read x < $gate; exit 4";
my $stdin = typed(base64 => encode_utf8('grüße'));
my $first = value('cmd.run', string('vm1'), 'sh', [ '-c', $script ], { stdin => $stdin });
print 'state ', value('cmd.wait', string($first), typed(double => 0.1))->{state}, "\n";
value('cmd.run', string('vm1'), 'sh', [ '-c', "echo > $gate" ]);
my $done = value('cmd.wait', string($first), typed(double => 20));
print join(' ', 'state', $done->{state}, yes($done->{finished}), $done->{exitCodeOrSignal}, $done->{out},
    unpack('H*', $done->{err})), "\n";
print 'created ', yes($done->{created} =~ /^20\d{6}T\d\d:\d\d:\d\d/), "\n";

my $large = value('cmd.run', string('vm1'), 'sh', [ '-c', 'yes 0123456789abcde | head -c 3000000' ]);
my ($out, $more, $digest, $r) = (0, 1, Digest::SHA->new(256));
while ($more) {
    my $from = { until => 'output', out_offset => typed(double => $out) };
    $r = value('cmd.wait', string($large), typed(double => 20), $from);
    $digest->add($r->{out});
    ($out, $more) = ($r->{out_offset}, $r->{more} || $r->{state} =~ /queued|running/);
}
print 'large ', $out, ' ', yes($digest->hexdigest eq $r->{out_sha256}), "\n";

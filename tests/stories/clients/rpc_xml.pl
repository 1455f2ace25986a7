# Perl's RPC::XML. Arguments: address, token, a gate (see clients.rs).
use strict; use warnings; use utf8;
use Digest::SHA; use Encode; use JSON::PP;
use RPC::XML; use RPC::XML::Client;
binmode STDOUT, ':utf8';
$RPC::XML::ENCODING = 'utf-8';

my ($url, $token, $gate) = @ARGV;
my $vocable = RPC::XML::Client->new($url);
$vocable->useragent->default_header(Authorization => "Bearer $token");
sub call { my $r = $vocable->send_request(@_); ref $r or die "$r\n"; $r }
sub value { my $r = call(@_); die $r->string if $r->is_fault; $r->value }
sub string { RPC::XML::string->new($_[0]) }
sub echo { value('word.ECHO', string('vm1'), { value => $_[0] })->[0]{answer}{value} }
sub check { my ($name, $sent, $came) = @_; print "$name ", $sent eq $came ? 'same' : "not $came", "\n" }
sub yes { $_[0] ? 'True' : 'False' }

my $booleans = echo([RPC::XML::boolean->new('true'), RPC::XML::boolean->new('false')]);
check(boolean => '1 0', "@$booleans");
my @integers = (-2147483648, 0, 2147483647);
check(integer => "@integers", "@{echo([map { RPC::XML::int->new($_) } @integers])}");
my @doubles = (0.5, -1.25, 5e9, 1e100);
my $doubles = echo([map { RPC::XML::double->new($_) } @doubles]);
check(double => 4, scalar grep { $doubles->[$_] == $doubles[$_] } 0 .. 3);
my $text = " <&>\"' ü€\x{1d11e} ]]>\n\ttail ";
check(string => $text, echo(string($text)));
check(empty => '', echo(string('')));
my $bytes = join '', map { chr } 0 .. 255;
check(bytes => $bytes, echo(RPC::XML::base64->new($bytes)));
my $json = JSON::PP->new->canonical;
check(array => '["1","two",["3.5",[]]]', $json->encode(echo([1, string('two'), [RPC::XML::double->new(3.5), []]])));
check(struct => '{"a":"1","b c":{"<d>":""}}', $json->encode(echo({ a => 1, 'b c' => { '<d>' => string('') } })));
print 'time ', echo(RPC::XML::datetime_iso8601->new('20261122T09:01:44')), "\n";

for ([ 'cmd.run', string('vm9'), 'true' ], [ 'cmd.run', string('vm1'), RPC::XML::int->new(5) ], ['cmd.fly']) {
    my $fault = call(@$_);
    $fault->is_fault and print 'fault ', $fault->code, ' ', (split /:/, $fault->string)[0], "\n";
}

my %methods = map { $_ => 1 } @{value('system.listMethods')};
print join(' ', 'lists', map { yes($methods{$_}) } 'cmd.run', 'word.ECHO', 'system.multicall'), "\n";
print "signature @{value('system.methodSignature', 'cmd.wait')->[0]}\n";
print 'help ', (split /\(/, value('system.methodHelp', 'cmd.wait'))[0], "\n";

my $script = "cat; printf '\\377' >&2; read x < $gate; exit 4";
my $stdin = RPC::XML::base64->new(encode_utf8('grüße'));
my $first = value('cmd.run', string('vm1'), 'sh', [ '-c', $script ], { stdin => $stdin });
my $soon = RPC::XML::double->new(0.1);
print 'state ', value('cmd.wait', string($first), $soon)->{state}, "\n";
value('cmd.run', string('vm1'), 'sh', [ '-c', "echo > $gate" ]);
my $done = value('cmd.wait', string($first), RPC::XML::double->new(20));
print join(' ', 'state', $done->{state}, yes($done->{finished}), $done->{exitCodeOrSignal}, $done->{out},
    unpack('H*', $done->{err})), "\n";
print 'created ', yes($done->{created} =~ /^20\d{6}T\d\d:\d\d:\d\d/), "\n";

my $large = value('cmd.run', string('vm1'), 'sh', [ '-c', 'yes 0123456789abcde | head -c 3000000' ]);
my ($out, $more, $digest, $r) = (0, 1, Digest::SHA->new(256));
while ($more) {
    my $from = { until => 'output', out_offset => RPC::XML::double->new($out) };
    $r = value('cmd.wait', string($large), RPC::XML::double->new(20), $from);
    $digest->add($r->{out});
    ($out, $more) = ($r->{out_offset}, $r->{more} || $r->{state} =~ /queued|running/);
}
print 'large ', $out, ' ', yes($digest->hexdigest eq $r->{out_sha256}), "\n";

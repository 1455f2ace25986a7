#!/usr/bin/env perl
# Runs a program on a guest and passes on its output and exit code, as JSON over HTTP. Needs nothing beside Perl.
#
# usage: run.pl GUEST PROGRAM [ARGUMENT...]
# VOCABLE_URL (http://127.0.0.1:8700) and VOCABLE_TOKEN (of the file `token` in the state folder) say where and as whom.
use strict;
use warnings;
use HTTP::Tiny;
use JSON::PP;
use MIME::Base64;

my $url  = $ENV{VOCABLE_URL} // 'http://127.0.0.1:8700';
my $http = HTTP::Tiny->new(timeout => 60);

sub call {
    my ($method, $parameters) = @_;
    my $reply = $http->post("$url/api/$method", {
        headers => {'authorization' => "Bearer $ENV{VOCABLE_TOKEN}", 'content-type' => 'application/json'},
        content => encode_json($parameters),
    });
    my $document = eval { decode_json($reply->{content}) } or die "no agent at $url: $reply->{content}\n";
    return $document if $reply->{success};
    print STDERR "$document->{error}{code}: $document->{error}{message}\n";
    exit 125;
}

# Text comes as text, anything else as {"b64": ...}.
sub octets {
    my ($output) = @_;
    return decode_base64($output->{b64}) if ref $output;
    utf8::encode($output);
    return $output;
}

my ($guest, $program, @arguments) = @ARGV;
my $command = call('cmd.run', {target => $guest, cmd => $program, args => \@arguments})->{result};
my ($told, $out, $err) = (undef, 0, 0);
do {
    # At the latest after 20 seconds; then we ask again, from where we are.
    $told = call('cmd.wait',
        {cmd_id => $command, timeout_s => 20, until => 'output', out_offset => $out, err_offset => $err});
    print STDOUT octets($told->{out});
    print STDERR octets($told->{err});
    ($out, $err) = @$told{qw(out_offset err_offset)};
} while $told->{more} or $told->{state} eq 'queued' or $told->{state} eq 'running';
die "$command is $told->{state}\n" if $told->{state} ne 'done';
exit($told->{finished} ? $told->{exitCodeOrSignal} : 128 + $told->{exitCodeOrSignal});

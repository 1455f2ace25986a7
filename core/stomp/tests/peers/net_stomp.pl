# Net::Stomp against a broker: net_stomp.pl PORT VERSION PASSCODE
use strict;
use warnings;
use Net::Stomp;

my ($port, $version, $passcode) = @ARGV;
my $binary = join '', map { chr } 0 .. 255;

sub enter {
    my $stomp = Net::Stomp->new({ hostname => '127.0.0.1', port => $port, timeout => 30 });
    my %login = (login => 'g1', passcode => $passcode);
    # Without these it is a client of 1.0.
    %login = (%login, 'accept-version' => $version, host => 'localhost') if $version ne '1.0';
    my $answer = $stomp->connect(\%login);
    if ($answer->command eq 'ERROR') {
        print $answer->headers->{message}, "\n";
        exit 0;
    }
    return $stomp;
}

sub subscribe {
    my ($stomp) = @_;
    my $ack = $version eq '1.0' ? 'client' : 'client-individual';
    $stomp->subscribe({ destination => '/queue/q', id => 's', ack => $ack });
}

sub hear {
    my ($stomp, $body) = @_;
    my $frame = $stomp->receive_frame or die 'nothing came';
    die 'unexpected ' . $frame->as_string unless $frame->command eq 'MESSAGE' && $frame->body eq $body;
    return $frame;
}

sub acknowledge {
    my ($stomp, $frame) = @_;
    my %by = ('1.0' => {}, '1.1' => { subscription => 's' }, '1.2' => { id => $frame->headers->{ack} });
    $stomp->ack({ frame => $frame, %{ $by{$version} } });
}

my $first = enter();
for my $message ({ body => 'one', colour => 'red' }, { body => $binary, bytes_message => 1 }) {
    $first->send_with_receipt({ destination => '/queue/q', %$message }) or die 'no receipt';
}
$first->send_transactional({ destination => '/queue/q', body => 'three' }) or die 'no receipt in a transaction';
subscribe($first);
my $one = hear($first, 'one');
die 'the header is lost' unless $one->headers->{colour} eq 'red';
acknowledge($first, $one);
acknowledge($first, hear($first, $binary));
hear($first, 'three');
$first->disconnect;

my $second = enter();
subscribe($second);
acknowledge($second, hear($second, 'three'));
$second->disconnect;

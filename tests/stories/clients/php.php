<?php
// PHP's xmlrpc extension, with the HTTP of PHP itself. Arguments: address, token, a gate (see clients.rs).
[, $url, $token, $gate] = $argv;
const ENCODING = ['encoding' => 'UTF-8', 'escaping' => ['markup']];

function call(string $method, array $params) {
    global $url, $token;
    $http = ['method' => 'POST', 'header' => "Content-Type: text/xml\r\nAuthorization: Bearer $token",
        'content' => xmlrpc_encode_request($method, $params, ENCODING)];
    return xmlrpc_decode(file_get_contents($url, false, stream_context_create(['http' => $http])), 'UTF-8');
}
function value(string $method, ...$params) {
    $value = call($method, $params);
    if (is_array($value) && xmlrpc_is_fault($value)) throw new Exception($value['faultString']);
    return $value;
}
function typed(string $type, string $text) { xmlrpc_set_type($text, $type); return $text; }
function echoed($value) { return value('word.ECHO', 'vm1', ['value' => $value])[0]['answer']['value']; }
function check(string $name, $sent, $came) { echo "$name ", $sent === $came ? 'same' : 'not ' . var_export($came, true), "\n"; }
function yes(bool $truth) { return $truth ? 'True' : 'False'; }

foreach (['boolean' => [true, false], 'integer' => [-2147483648, 0, 2147483647],
    'double' => [0.5, -1.25, 5e9, 1e100], 'string' => " <&>\"' ü€\u{1d11e} ]]>\n\ttail ", 'empty' => ''] as $name => $value) {
    check($name, $value, echoed($value));
}
$bytes = implode('', array_map('chr', range(0, 255)));
check('bytes', $bytes, echoed(typed('base64', $bytes))->scalar);
foreach (['array' => [1, 'two', [3.5, []]], 'struct' => ['a' => 1, 'b c' => ['<d>' => '']]] as $name => $value) {
    check($name, $value, echoed($value));
}
echo 'time ', echoed(typed('datetime', '20261122T09:01:44')), "\n";

foreach ([['cmd.run', ['vm9', 'true']], ['cmd.run', ['vm1', 5]], ['cmd.fly', []]] as [$method, $params]) {
    $fault = call($method, $params);
    if (xmlrpc_is_fault($fault)) echo "fault {$fault['faultCode']} ", explode(':', $fault['faultString'])[0], "\n";
}

$methods = value('system.listMethods');
$listed = array_map(fn($name) => yes(in_array($name, $methods)), ['cmd.run', 'word.ECHO', 'system.multicall']);
echo 'lists ', implode(' ', $listed), "\n";
echo 'signature ', implode(' ', value('system.methodSignature', 'cmd.wait')[0]), "\n";
echo 'help ', explode('(', value('system.methodHelp', 'cmd.wait'))[0], "\n";

$script = "cat; printf '\\377' >&2; read x < $gate; exit 4";
$first = value('cmd.run', 'vm1', 'sh', ['-c', $script], ['stdin' => typed('base64', 'grüße')]);
echo 'state ', value('cmd.wait', $first, 0.1)['state'], "\n";
value('cmd.run', 'vm1', 'sh', ['-c', "echo > $gate"]);
$done = value('cmd.wait', $first, 20.0);
echo 'state ', implode(' ', [$done['state'], yes($done['finished']), $done['exitCodeOrSignal'], $done['out'],
    bin2hex($done['err']->scalar)]), "\n";
echo 'created ', yes($done['created']->xmlrpc_type === 'datetime' && $done['created']->timestamp > 0), "\n";

$large = value('cmd.run', 'vm1', 'sh', ['-c', 'yes 0123456789abcde | head -c 3000000']);
[$out, $digest] = [0, hash_init('sha256')];
do {
    $r = value('cmd.wait', $large, 20.0, ['until' => 'output', 'out_offset' => $out]);
    hash_update($digest, $r['out']);
    $out = $r['out_offset'];
} while ($r['more'] || in_array($r['state'], ['queued', 'running']));
echo 'large ', $out, ' ', yes(hash_final($digest) === $r['out_sha256']), "\n";

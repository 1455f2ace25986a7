# Ruby's xmlrpc gem. Arguments: address, token, a gate (see clients.rs).
require "digest"
require "xmlrpc/client"

url, token, $gate = ARGV
$vocable = XMLRPC::Client.new2(url.sub("://", "://agent:#{token}@"))
def value(*call) = $vocable.call(*call)
def echo(value) = value("word.ECHO", "vm1", { "value" => value })[0]["answer"]["value"]
def check(name, sent, came = echo(sent)) = puts("#{name} #{sent.eql?(came) ? "same" : "not #{came.inspect}"}")
def yes(truth) = truth ? "True" : "False"

check "boolean", [true, false]
check "integer", [-2**31, 0, 2**31 - 1]
check "double", [0.5, -1.25, 5e9, 1e100]
check "string", " <&>\"' ü€\u{1d11e} ]]>\n\ttail "
check "empty", ""
bytes = (0..255).to_a.pack("C*")
check "bytes", bytes, echo(XMLRPC::Base64.new(bytes)).b
check "array", [1, "two", [3.5, []]]
check "struct", { "a" => 1, "b c" => { "<d>" => "" } }
puts "time #{echo(XMLRPC::DateTime.new(2026, 11, 22, 9, 1, 44))}"

[["cmd.run", "vm9", "true"], ["cmd.run", "vm1", 5], ["cmd.fly"]].each do |call|
  value(*call)
rescue XMLRPC::FaultException => e
  puts "fault #{e.faultCode} #{e.faultString.split(":")[0]}"
end

methods = value("system.listMethods")
puts "lists #{["cmd.run", "word.ECHO", "system.multicall"].map { |name| yes(methods.include?(name)) }.join(" ")}"
puts "signature #{value("system.methodSignature", "cmd.wait")[0].join(" ")}"
puts "help #{value("system.methodHelp", "cmd.wait").split("(")[0]}"

script = "cat; printf '\\377' >&2; read x < #{$gate}; exit 4"
first = value("cmd.run", "vm1", "sh", ["-c", script], { "stdin" => XMLRPC::Base64.new("grüße") })
puts "state #{value("cmd.wait", first, 0.1)["state"]}"
value("cmd.run", "vm1", "sh", ["-c", "echo > #{$gate}"])
done = value("cmd.wait", first, 20.0)
puts "state #{done["state"]} #{yes(done["finished"])} #{done["exitCodeOrSignal"]} #{done["out"]} #{done["err"].unpack1("H*")}"
puts "created #{yes(done["created"].is_a?(XMLRPC::DateTime) && done["created"].year >= 2026)}"

large = value("cmd.run", "vm1", "sh", ["-c", "yes 0123456789abcde | head -c 3000000"])
out, digest, more, r = 0, Digest::SHA256.new, true
while more
  r = value("cmd.wait", large, 20.0, { "until" => "output", "out_offset" => out })
  digest.update(r["out"])
  out = r["out_offset"]
  more = r["more"] || %w[queued running].include?(r["state"])
end
puts "large #{out} #{yes(digest.hexdigest == r["out_sha256"])}"

# Ruby's stomp against a broker: stomp.rb PORT VERSION PASSCODE work|beat
require 'stomp'

PORT, VERSION, PASSCODE, TODO = ARGV
BINARY = (0..255).to_a.pack('C*')

def enter(headers = {})
  # Without these it is a client of 1.0.
  headers = headers.merge('accept-version' => VERSION, 'host' => 'localhost') if VERSION != '1.0'
  connection = Stomp::Connection.new(
    hosts: [{ login: 'g1', passcode: PASSCODE, host: '127.0.0.1', port: PORT.to_i }],
    reliable: false, connect_headers: headers, usecrlf: VERSION == '1.2', stompconn: VERSION != '1.0'
  )
  if connection.connection_frame.command == 'ERROR'
    puts connection.connection_frame.headers['message']
    exit 0
  end
  connection
end

def subscribe(connection)
  ack = VERSION == '1.0' ? 'client' : 'client-individual'
  connection.subscribe('/queue/q', { 'ack' => ack, 'id' => 's' }, 's')
end

def hear(connection, body)
  message = connection.receive
  raise "unexpected #{message.inspect}" unless message.command == 'MESSAGE' && message.body.b == body.b
  message
end

def acknowledge(connection, message)
  connection.ack(message.headers[VERSION == '1.2' ? 'ack' : 'message-id'], 'subscription' => 's')
end

def publish(connection, body, headers = {})
  connection.publish('/queue/q', body, headers.merge('receipt' => 'r'))
  receipt = connection.receive
  raise "no receipt but #{receipt.inspect}" unless receipt.headers['receipt-id'] == 'r'
end

def work
  # Before 1.1 nothing was escaped. (A backslash before c or n this client cannot read, whoever has escaped it.)
  odd = VERSION == '1.0' ? 'red' : "a:b\nc\\"
  first = enter
  publish(first, 'one', 'colour' => odd)
  publish(first, BINARY)
  first.begin('t')
  first.publish('/queue/q', 'three', 'transaction' => 't')
  first.commit('t')
  subscribe(first)
  one = hear(first, 'one')
  raise "the header is #{one.headers['colour']}" unless one.headers['colour'] == odd
  acknowledge(first, one)
  acknowledge(first, hear(first, BINARY))
  hear(first, 'three')
  first.disconnect('receipt' => 'bye')

  second = enter
  subscribe(second)
  acknowledge(second, hear(second, 'three'))
  second.disconnect('receipt' => 'bye')
end

def beat
  connection = enter('heart-beat' => '1000,1000')
  subscribe(connection)
  # It counts while it is not reading, and tells nobody.
  sleep 0.1 until connection.hbsend_count >= 3 && connection.hbrecv_count >= 3
  connection.publish('/queue/q', 'enough')
  acknowledge(connection, hear(connection, 'enough'))
  connection.disconnect('receipt' => 'bye')
end

send(TODO)

-- The request that load.py wants, as `wrk … -- METHOD BODY LENGTH`, and what came of it on one line.
--
-- BODY bytes are sent. If LENGTH is not negative, every answer is looked at: 200 and a body of LENGTH bytes. That costs wrk
-- time, so it is for the run before the one that counts.

local threads = {}
wrong = 0
example = ""

function setup(thread)
   threads[#threads + 1] = thread
end

function init(arguments)
   wrk.method = arguments[1]
   local size = tonumber(arguments[2])
   if size > 0 then
      wrk.body = string.rep("x", size)
   end
   local length = tonumber(arguments[3])
   if length >= 0 then
      function response(status, headers, body)
         if status ~= 200 or #body ~= length then
            wrong = wrong + 1
            example = status .. " with " .. #body .. " bytes"
         end
      end
   end
end

function done(summary)
   local count, text = 0, ""
   for _, thread in ipairs(threads) do
      count = count + thread:get("wrong")
      text = thread:get("example")
   end
   local errors = summary.errors
   io.write(string.format(
      'done: {"requests": %d, "bytes": %.0f, "microseconds": %.0f, "failed": {"connect": %d, "read": %d, "write": %d, '
         .. '"status": %d, "timeout": %d, "wrong": %d}, "example": "%s"}\n',
      summary.requests, summary.bytes, summary.duration,
      errors.connect, errors.read, errors.write, errors.status, errors.timeout, count, text))
end

-- wrk: asks for each file of a list, over and over, and compares what comes with the file of that length.
--
-- Arguments behind `--`: the folder of the files, and the list, in the form of sha256sum. A name is a length.

local threads = {}

function setup(thread)
    table.insert(threads, thread)
end

function init(arguments)
    count, failures, at = 0, 0, 0
    names, bodies = {}, {}
    for line in io.lines(arguments[2]) do
        local name = line:match("%S+%s+(%S+)")
        table.insert(names, name)
        local file = assert(io.open(arguments[1] .. "/" .. name, "rb"))
        bodies[name] = file:read("*a")
        file:close()
    end
end

function request()
    at = at % #names + 1
    return wrk.format("GET", "/" .. names[at])
end

function response(status, headers, body)
    count = count + 1
    if status ~= 200 or bodies[headers["Content-Length"]] ~= body then
        failures = failures + 1
    end
end

function done(summary)
    local count, failures = 0, 0
    for _, thread in ipairs(threads) do
        count = count + thread:get("count")
        failures = failures + thread:get("failures")
    end
    for _, kind in ipairs({ "connect", "read", "write", "status", "timeout" }) do
        failures = failures + summary.errors[kind]
    end
    print(count .. " requests, " .. failures .. " failures")
end

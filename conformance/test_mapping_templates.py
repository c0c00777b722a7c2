"""Mapping templates as methods run them: `$input`, `$context`, `$util`, overrides, and how much a template may take."""

import json
import time

import botocore.exceptions
import pytest
from harness import body_json

FAILED = (500, {"message": "Internal server error"})


def templated(gateway, request='{"statusCode": 200}', response="", status="200", verb="POST", path="/", **deployment):
    """A MOCK whose templates are these."""
    api = gateway.rest_api()
    api.mock(verb, path, response, status=status)
    where = {"restApiId": api.id, "resourceId": api.resource(path), "httpMethod": verb}
    value = {"op": "replace", "path": "/requestTemplates/application~1json", "value": request}
    api.client.update_integration(**where, patchOperations=[value])
    api.deploy(**deployment)
    return api


def forwarded(gateway, uri, template, path="/", **integration):
    """An HTTP backend behind this request template."""
    api = gateway.rest_api()
    api.proxy("POST", path, uri, kind="HTTP", requestTemplates={"application/json": template}, **integration)
    where = {"restApiId": api.id, "resourceId": api.resource(path), "httpMethod": "POST"}
    api.client.put_method_response(**where, statusCode="200")
    api.client.put_integration_response(**where, statusCode="200")
    api.deploy()
    return api


def rendered(gateway, echo, template, data=b"", path="/", **options):
    """What a request template makes of a body."""
    answer = forwarded(gateway, echo.url, template).call("POST", path, data=data, **options)
    assert answer.status_code == 200, answer.text
    return body_json(answer)["body"]


class TestInput:
    BODY = json.dumps({"a": {"b": [1, 2.5, "x"]}, "n": 1, "text": "it's \"so\"", "none": None, "yes": True,
                       "numbers": [1.0, 1e30, 1e-7, 9007199254740993]}).encode()  # fmt: skip

    @pytest.mark.parametrize(
        "template, expected",
        [
            ("$input.json('$.a.b')", '[1,2.5,"x"]'),
            ("$input.json('$.text')", r'"it\'s \"so\""'.replace("\\'", "'")),
            ("$input.json('$.nothing')", '""'),
            ("$input.path('$.a.b[1]')", "2.5"),
            ("$input.path('$.a.b').size()", "3"),
            # Numbers are printed as Java prints them.
            ("$input.json('$.numbers') $input.path('$.numbers[1]')", "[1.0,1.0E30,1.0E-7,9007199254740993] 1.0E30"),
            ("#foreach($x in $input.path('$.a.b'))$x#if($foreach.hasNext),#end#end", "1,2.5,x"),
            ("$input.path('$.nothing')", ""),
            ("<$input|$util>", "<|>"),
            ("$!input.path('$.none')", ""),
            ("#set($all = $input.path('$'))$all.n $all.yes", "1 true"),
            ("$input.path('$.a.b[?(@ > 1)]')", "[2.5]"),
            ("$input.json('$..b[0]')", "[1]"),
            ("$util.escapeJavaScript($input.path('$.text'))", r"it\'s \"so\""),
            ("$util.base64Encode('a b')", "YSBi"),
            ("$util.base64Decode('YSBi')", "a b"),
            ("$util.urlEncode('a b&c')", "a+b%26c"),
            ("$util.urlDecode('a+b%26c')", "a b&c"),
            ("#set($o = $util.parseJson('{\"k\": [1, 2]}'))$o.k[1]", "2"),
            ("$input.path('$.text').replaceAll('[a-z]', '.')", "..'. \"..\""),
            ("$input.path('$.a').keySet()", "[b]"),
            ('#set($q = "{""n"": ""$input.path(\'$.n\')""}")$q', '{"n": "1"}'),
        ],
    )
    def test_of_a_body(self, gateway, echo, template, expected):
        assert rendered(gateway, echo, template, self.BODY) == expected

    def test_the_whole_body(self, gateway, echo):
        assert rendered(gateway, echo, "<$input.body>", b"any text", headers={"Content-Type": "application/json"}) == "<any text>"

    def test_no_body_is_an_empty_object(self, gateway, echo):
        assert rendered(gateway, echo, "$input.body $input.json('$')") == "{} {}"

    def test_a_body_that_is_no_json(self, gateway, echo):
        api = forwarded(gateway, echo.url, "$input.json('$.a')")
        answer = api.call("POST", "/", data=b"{no json")
        assert answer.status_code == 400
        assert body_json(answer)["message"].startswith("Could not parse request body into json: ")

    @pytest.mark.parametrize(
        "body, expected",
        [
            ("token=abc&text=a%22b", '"token=abc&text=a%22b"'),
            ("{a: 'it', \"b\": [1,,2,], c: 2015-03-31,}", '{"a":"it","b":[1,2],"c":"2015-03-31"}'),
            ("<xml/>", '"<xml/>"'),
            ('"\\ud800 \\ud83d\\ude00"', '"? 😀"'),
            ('{"a": 1e400}', '{"a":1.7976931348623157E308}'),
            ("[" * 300 + "]" * 300, "[" * 300 + "]" * 300),
        ],
    )
    def test_what_resembles_json(self, gateway, echo, body, expected):
        """AWS reads bodies with Jayway's parser in its permissive mode: a form is one text."""
        assert rendered(gateway, echo, "$input.json('$')", body.encode()) == expected

    @pytest.mark.parametrize("template", ["$input.body", "$input.json('$')", "[$input.body]"])
    @pytest.mark.parametrize("request_template", ['{"statusCode": 200}', '#set($b = $input.body){"statusCode": 200}'])
    def test_a_mocks_response_sees_no_body(self, gateway, template, request_template):
        api = templated(gateway, request_template, template)
        assert api.call("POST", "/", data='{"a": 1}').text == template.replace("$input.body", "{}").replace("$input.json('$')", "{}")

    def test_a_mocks_request_hands_its_body_on(self, gateway):
        request = '#set($context.requestOverride.path.body = $input.body){"statusCode": 200,}'
        api = templated(gateway, request, "#set($b = $util.parseJson($context.requestOverride.path.body))$b.a")
        assert api.call("POST", "/", data='{"a": "\\ud800x"}').text == "?x"

    def test_parameters_come_from_path_then_query_then_headers(self, gateway):
        api = templated(gateway, response="$input.params('n') $input.params('q') $input.params('h')", path="/{n}")
        answer = api.call("POST", "/path?n=query&q=query&h=query", headers={"n": "header", "q": "header", "h": "header"})
        assert answer.text == "path query query"
        assert api.call("POST", "/path", headers={"h": "header"}).text == "path  header"

    def test_all_parameters(self, gateway):
        response = (
            "$input.params().path.n $input.params().querystring.get('q') $input.params('header')"
            "#foreach($k in $input.params().querystring.keySet())[$k]#end $input.params().header.get('X-A')"
        )
        api = templated(gateway, response=response, path="/{n}")
        assert api.call("POST", "/1?q=2&z=3", headers={"X-A": "4"}).text == "1 2 [q][z] 4"

    def test_stage_variables(self, gateway):
        api = templated(gateway, response="$stageVariables.color ${stageVariables.get('color')}|$!stageVariables.none|",
                        variables={"color": "red"})  # fmt: skip
        assert api.call("POST", "/").text == "red red||"

    def test_context(self, gateway):
        names = ("apiId httpMethod stage resourcePath path protocol accountId identity.sourceIp identity.userAgent requestId "
                 "resourceId domainName").split()  # fmt: skip
        response = json.dumps({name: f"$context.{name}" for name in names})
        api = templated(gateway, response=response, path="/{n}")
        answer = api.call("POST", "/1", headers={"User-Agent": "me"})
        found = body_json(answer)
        assert found["apiId"] == api.id and found["requestId"] == answer.headers["x-amzn-RequestId"]
        assert [found[name] for name in ("httpMethod", "stage", "resourcePath", "path", "protocol")] == [
            "POST", "test", "/{n}", "/test/1", "HTTP/1.1"]  # fmt: skip
        assert found["identity.sourceIp"] == "127.0.0.1" and found["identity.userAgent"] == "me"
        assert found["resourceId"] == api.resource("/{n}") and api.id in found["domainName"]


class TestLanguage:
    """What AWS's templates use of Velocity, one thing at a time. The differential tests of the engine go further."""

    CASES = [
        ("#set($a = 1)#if($a == 2)x#elseif($a == 1)y#{else}z#end", "y"),
        ("#if(!$none && (1 < 2 || false) && 2 >= 2 && 'a' != 'b')yes#end", "yes"),
        ("#if('a' eq 'a' and not (1 gt 2) or 1 le 0)yes#end", "yes"),
        ("#foreach($x in ['a', 'b', 'c'])$foreach.index$foreach.count$velocityCount$x#if($foreach.hasNext),#end#end", "011a,122b,233c"),
        ("#foreach($x in [1..9])#if($x == 4)#break#end$x#end", "123"),
        ("#foreach($x in [1..2])#foreach($y in [3..4])$foreach.parent.count$y#end#end", "13142324"),
        ("#foreach($x in [3..1])$x#end#foreach($x in [])never#end", "321"),
        ("#set($m = {'a': 1, 'b': 2})#foreach($e in $m.entrySet())$e.key=$e.value;#end", "a=1;b=2;"),
        ("a#stop b", "a"),
        ("#macro(pair $a $b)<$a:$b>#end#pair(1 'x')#pair(2 'y')", "<1:x><2:y>"),
        ("#macro(box)[$bodyContent]#end#@box()in#end", "[in]"),
        ("#define($later)$value#end#set($value = 'now')$later", "now"),
        ("#set($code = '#if(true)yes#end')#evaluate($code)", "yes"),
        ("#set($n = 7)#set($s = $n + 2 * 3 - 1)$s#set($q = $n / 2) $q#set($r = $n % 4) $r", "12 3 3"),
        ("#set($t = 'one')#set($d = \"$t two\")#set($l = '$t two')$d|$l", "one two|$t two"),
        ("#set($m = {'a': {'b': [1, 2]}})$m.a.b[1]${m.a.b.get(0)}$m['a'].b.size()", "212"),
        ("#set($m = {})#set($x = $m.put('k', 'v'))$m.get('k')$m.containsKey('z')$m.size()", "vfalse1"),
        ("#set($l = ['b'])#set($x = $l.add('a'))#set($x = $l.addAll(['c']))$l.size()$l.contains('a')$l.isEmpty()$l.indexOf('c')", "3truefalse2"),
        ("#set($l = ['b', 'a'])#set($l[0] = 'z')$l.get(0)$l.remove(1)$l.size()", "za1"),
        ("$!none|${none}|$!{none.a}|$none.a.b()", "|||"),
        ("\\$a #set($a = 1)\\$a \\\\$a", "\\$a$a \\1"),
        ("#[[#if($x) $y ]]#", "#if($x) $y "),
        ("a## comment\nb#* more *#c", "abc"),
        ("#set($a = 1)\n  #if($a)\n  x\n  #end\ny", "    x\n  y"),
        ("$esc#set($s = 'a,b,,c,,')$s.split(',').size() $s.split(',')[3]", "4 c"),
        ("#set($s = ' Text ')$s.trim().length()$s.trim().substring(1)$s.trim().substring(1, 3)$s.toUpperCase()", "4extex TEXT "),
        ("#set($s = 'a.b.c')$s.replaceAll('\\.', '-')|$s.replace('.', '+')|$s.replaceFirst('(.)\\.', '$1!')", "a-b-c|a+b+c|a!b.c"),
        ("#set($s = 'x1y22')$s.matches('[a-z0-9]+')$s.contains('y2')$s.startsWith('x')$s.endsWith('z')$s.indexOf('y')$s.lastIndexOf('2')", "truetruetruefalse24"),
        ("#set($s = '%05.1f|%s|%-3d|')$s.format('%05.1f|%s|%-3d|', 3.14159, 'a', 7)", "003.1|a|7  |"),
        ("#set($n = 7)$n.toString().length()#set($i = 0)$i.parseInt('42')", "142"),
        ("#set($q = '\"')$util.escapeJavaScript(\"it's $q\")", 'it\\\'s \\"'),
    ]

    def test_the_time_of_a_request_is_a_number(self, gateway, echo):
        template = "#set($t = $context.requestTimeEpoch / 1000 + 60)$t#if($context.requestTimeEpoch > 5) later#end"
        seconds, later = rendered(gateway, echo, template).split()
        assert later == "later" and abs(int(seconds) - 60 - time.time()) < 60

    def test_directives_expressions_and_methods(self, gateway):
        api = gateway.rest_api()
        for number, (template, _) in enumerate(self.CASES):
            api.mock("GET", f"/{number}", f"<{template}>")
        api.deploy()
        for number, (template, expected) in enumerate(self.CASES):
            # A template that stops ends before what follows.
            expected = f"<{expected}" if "#stop" in template else f"<{expected}>"
            assert api.call("GET", f"/{number}").text == expected, template


class TestOverrides:
    def test_of_requests(self, gateway, echo):
        template = (
            "#set($context.requestOverride.header.X-One = 'new')#set($context.requestOverride.header['X-Two'] = 'made')"
            "#set($context.requestOverride.querystring.q = 'new q')#set($context.requestOverride.path.id = 'elsewhere')body"
        )
        api = forwarded(gateway, echo.url + "/{id}", template, requestParameters={
            "integration.request.header.X-One": "'old'", "integration.request.querystring.q": "'old'",
            "integration.request.querystring.kept": "'kept'", "integration.request.path.id": "'here'",
        })  # fmt: skip
        seen = body_json(api.call("POST", "/"))
        assert (seen["path"], seen["query"], seen["body"]) == ("/elsewhere", {"q": ["new q"], "kept": ["kept"]}, "body")
        assert (seen["headers"]["x-one"], seen["headers"]["x-two"]) == ("new", "made")

    def test_of_responses(self, gateway):
        response = "#set($context.responseOverride.status = 418)#set($context.responseOverride.header.X-Made = 'up')short"
        answer = templated(gateway, response=response).call("POST", "/")
        assert (answer.status_code, answer.headers["X-Made"], answer.text) == (418, "up", "short")

    @pytest.mark.parametrize(
        "name, twice",
        [("responseOverride.status", "400"), ("responseOverride.header.X", "'a'"), ("responseOverride.header['X']", "'a'")],
    )
    def test_an_override_is_final(self, gateway, name, twice):
        once = f"#set($context.{name} = {twice})"
        assert templated(gateway, response=once).call("POST", "/").status_code < 500
        answer = templated(gateway, response=once + "text" + once).call("POST", "/")
        assert (answer.status_code, body_json(answer)) == FAILED

    @pytest.mark.parametrize("name", ["header.X", "querystring.q", "path.id"])
    def test_an_override_of_a_request_is_final(self, gateway, echo, name):
        once = f"#set($context.requestOverride.{name} = 'a')"
        assert forwarded(gateway, echo.url, once).call("POST", "/").status_code == 200
        echo.seen.clear()
        answer = forwarded(gateway, echo.url, once + once).call("POST", "/")
        assert (answer.status_code, body_json(answer)) == FAILED and not echo.seen

    def test_one_of_two_branches_is_once(self, gateway):
        response = "#foreach($n in [1..3])#if($n == 2)#set($context.responseOverride.status = 404)#end#end"
        assert templated(gateway, response=response).call("POST", "/").status_code == 404

    @pytest.mark.parametrize("status", ["'x'", "99", "600", "1000", "''"])
    def test_a_status_that_is_none(self, gateway, status):
        answer = templated(gateway, response=f"#set($context.responseOverride.status = {status})fine").call("POST", "/")
        assert (answer.status_code, answer.text) == (200, "fine")

    def test_headers_cannot_break_the_head(self, gateway):
        response = "#set($context.responseOverride.header.X-A = $input.params('v'))ok"
        answer = templated(gateway, response=response).call("POST", "/?v=a%0d%0aX-Smuggled:%201")
        assert answer.text == "ok" and "X-Smuggled" not in answer.headers


class TestSelection:
    """`selectionPattern` is a Java regular expression that fits the whole status, or error message."""

    def api(self, gateway, *patterns):
        api = templated(gateway, '{"statusCode": $input.params("s")}', "default")
        where = {"restApiId": api.id, "resourceId": api.resource("/"), "httpMethod": "POST"}
        for number, pattern in enumerate(patterns):
            status = str(201 + number)
            api.client.put_method_response(**where, statusCode=status)
            api.client.put_integration_response(**where, statusCode=status, selectionPattern=pattern)
        api.deploy()
        return api

    @pytest.mark.parametrize(
        "pattern, fitting, not_fitting",
        [
            (r"4\d{2}", [400, 499], [500, 200]),
            ("40", [], [400, 404]),
            ("4", [], [404]),
            ("[45]..", [404, 500], [302]),
            ("400|404", [400, 404], [401]),
            (".*0.*", [500, 502, 404], [444]),
            (r"(?!2\d\d)\d+", [404, 500], [200, 204]),
            (r"5\d\d(?<!503)", [500], [503]),
            (r"(\d)\1\1", [444, 555], [404]),
            (r"\d++", [200], []),
            (r"(?i)\Q404\E", [404], [400]),
            (r"\p{Digit}+", [301], []),
            (r"^404$", [404], [500]),
        ],
    )
    def test_java_pattern(self, gateway, pattern, fitting, not_fitting):
        api = self.api(gateway, pattern)
        for status in fitting + not_fitting:
            answer = api.call("POST", f"/?s={status}")
            assert answer.status_code == (201 if status in fitting else 200), (pattern, status)

    def test_of_several_that_fit_the_one_of_the_same_status(self, gateway):
        api = self.api(gateway, r"2\d\d", r"20[0-9]", "[24]..")
        seen = [api.call("POST", f"/?s={status}").status_code for status in (201, 202, 203, 204, 404, 500)]
        assert seen == [201, 202, 203, 201, 203, 200]

    def test_nothing_fits_and_no_default(self, gateway):
        api = self.api(gateway, "404")
        where = {"restApiId": api.id, "resourceId": api.resource("/"), "httpMethod": "POST"}
        api.client.delete_integration_response(**where, statusCode="200")
        api.deploy()
        assert api.call("POST", "/?s=404").status_code == 201
        answer = api.call("POST", "/?s=500")
        assert (answer.status_code, body_json(answer)) == FAILED

    def test_a_pattern_that_is_none_is_refused(self, gateway):
        with pytest.raises(botocore.exceptions.ClientError) as refused:
            self.api(gateway, "(")
        assert refused.value.response["Error"]["Code"] == "BadRequestException"


class TestLimits:
    def test_a_thousand_rounds_and_no_more(self, gateway):
        response = "#foreach($n in [1..5000])#set($last = $n)#end$last"
        assert templated(gateway, response=response).call("POST", "/").text == "1000"

    @pytest.mark.parametrize(
        "response",
        [
            "#macro(again)#again()#end#again()",
            "#set($s = 'x')#foreach($n in [1..1000])#set($s = \"$s$s\")#end$s",
            "#foreach($a in [1..1000])#foreach($b in [1..1000])#foreach($c in [1..1000])x#end#end#end",
            "#set($l = [])#foreach($a in [1..1000])#foreach($b in [1..1000])#set($x = $l.add($l))#end#end$l",
            "#set($m = {})#set($x = $m.put('m', $m))$m",
            "#define($d)$d#end$d",
            "#set($s = '$s#evaluate($s)')#evaluate($s)",
        ],
    )
    def test_what_takes_too_much_ends(self, gateway, response):
        api = templated(gateway, response=response)
        begun = time.monotonic()
        answer = api.call("POST", "/")
        assert time.monotonic() - begun < 20
        assert answer.status_code in (200, 500) and len(answer.content) <= 10 * 1024 * 1024 + 1024
        assert templated(gateway, response="fine").call("POST", "/").text == "fine"

    def test_300_kb(self, gateway):
        assert templated(gateway, response="x" * 300_000).call("POST", "/").content == b"x" * 300_000
        with pytest.raises(botocore.exceptions.ClientError) as refused:
            templated(gateway, response="x" * (300 * 1024 + 1))
        assert refused.value.response["Error"]["Code"] == "BadRequestException"

    @pytest.mark.parametrize("template", ["#if($a", "#foreach($x in )#end", "#set($x = )", "#end", "#include('x')", "#parse('x')"])
    def test_a_syntax_error_says_where(self, gateway, template):
        with pytest.raises(botocore.exceptions.ClientError) as refused:
            templated(gateway, response="line one\n" + template)
        message = refused.value.response["Error"]["Message"]
        assert "line 2" in message or "2:" in message, message

    def test_base64_that_is_none(self, gateway):
        api = templated(gateway, response="<$util.base64Decode($input.params('b'))>")
        assert api.call("POST", "/?b=YWI=").text == "<ab>"
        answer = api.call("POST", "/?b=%21%21%21")
        assert (answer.status_code, body_json(answer)) == FAILED

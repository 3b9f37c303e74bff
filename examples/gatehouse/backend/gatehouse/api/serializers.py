from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from gatehouse_audit.models import Event
from oauth2_provider.models import get_application_model
from rest_framework import serializers

from gatehouse.identity.models import Notice, User
from gatehouse.oauth2.clients import new_client


class UserSerializer(serializers.ModelSerializer):
    display_name = serializers.CharField(read_only=True)
    password = serializers.CharField(write_only=True, max_length=200)

    class Meta:
        model = User
        fields = [
            "id", "username", "display_name", "first_name", "last_name", "email", "is_active", "is_staff",
            "last_login", "password",
        ]  # fmt: skip
        read_only_fields = ["id", "last_login"]
        extra_kwargs = {
            "is_active": {"help_text": "Whether the user may sign in."},
            "is_staff": {"help_text": "Whether the user may administer Gatehouse."},
        }

    def validate(self, attrs):
        if "password" in attrs:
            known = {k: v for k, v in attrs.items() if k != "password"}
            try:
                validate_password(attrs["password"], self.instance or User(**known))
            except ValidationError as error:
                raise serializers.ValidationError({"password": error.messages}) from None
        return attrs

    def create(self, validated_data):
        return User.objects.create_user(**validated_data)

    def update(self, instance, validated_data):
        password = validated_data.pop("password", None)
        if password is not None:
            instance.set_password(password)
        return super().update(instance, validated_data)


class SignInSerializer(serializers.Serializer):
    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=200, trim_whitespace=False)


class SessionSerializer(serializers.Serializer):
    """Who is signed in; user is null if nobody is."""

    user = UserSerializer(allow_null=True, read_only=True)


class StatusSerializer(serializers.Serializer):
    version = serializers.CharField()
    database = serializers.BooleanField(help_text="PostgreSQL answers.")
    migrated = serializers.BooleanField(help_text="The database has the tables that this version needs.")


class SpacedURIs(serializers.ListField):
    """A list of URIs, kept as the provider library keeps them: in one text, with blanks between."""

    child = serializers.CharField(max_length=500)

    def to_representation(self, data):
        return data.split()

    def to_internal_value(self, data):
        uris = super().to_internal_value(data)
        if any(uri.split() != [uri] for uri in uris):
            raise serializers.ValidationError("A URI has no blanks in it.")
        return " ".join(uris)


class ApplicationSerializer(serializers.ModelSerializer):
    name = serializers.CharField(max_length=255)
    confidential = serializers.BooleanField(
        default=True, help_text="Whether it can keep a secret. An app on users' devices can not."
    )
    redirect_uris = SpacedURIs(allow_empty=False)
    post_logout_redirect_uris = SpacedURIs(required=False)
    skip_consent = serializers.BooleanField(
        source="skip_authorization", default=False, help_text="Do not ask users whether they agree."
    )

    class Meta:
        model = get_application_model()
        fields = [
            "client_id", "name", "confidential", "redirect_uris", "post_logout_redirect_uris", "skip_consent",
            "created",
        ]  # fmt: skip
        read_only_fields = ["client_id", "created"]

    def to_representation(self, instance):
        instance.confidential = instance.client_type == instance.CLIENT_CONFIDENTIAL
        return super().to_representation(instance)

    def validate_confidential(self, value):
        if self.instance and value != (self.instance.client_type == self.instance.CLIENT_CONFIDENTIAL):
            raise serializers.ValidationError("An application cannot change what it is; make a new one.")
        return value

    def create(self, validated_data):
        validated_data["redirect_uris"] = validated_data["redirect_uris"].split()
        try:
            application, self.secret = new_client(**validated_data)
        except ValidationError as error:
            raise serializers.ValidationError({"redirect_uris": error.messages}) from None
        return application

    def update(self, instance, validated_data):
        validated_data.pop("confidential", None)
        for name, value in validated_data.items():
            setattr(instance, name, value)
        try:
            instance.full_clean(exclude=["client_secret"])
        except ValidationError as error:
            raise serializers.ValidationError({"redirect_uris": error.messages}) from None
        instance.save()
        return instance


class CreatedApplicationSerializer(ApplicationSerializer):
    """An application just made. Its secret is told this once; "" if it is not confidential."""

    client_secret = serializers.SerializerMethodField()

    class Meta(ApplicationSerializer.Meta):
        fields = [*ApplicationSerializer.Meta.fields, "client_secret"]

    def get_client_secret(self, instance) -> str:
        return self.secret


class EventSerializer(serializers.ModelSerializer):
    class Meta:
        model = Event
        fields = ["id", "kind", "time", "username", "client_ip", "user_agent", "subject"]


class NoticeSerializer(serializers.ModelSerializer):
    time = serializers.DateTimeField(source="event.time", read_only=True)
    client_ip = serializers.CharField(source="event.client_ip", read_only=True, allow_null=True)
    user_agent = serializers.CharField(source="event.user_agent", read_only=True)

    class Meta:
        model = Notice
        fields = ["id", "time", "client_ip", "user_agent", "delivered", "mailed"]
